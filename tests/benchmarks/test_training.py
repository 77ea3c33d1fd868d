"""That what is compared is the same work: losses of the loops and of the published step, steps, reports, operations."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from surgstream.benchmarks.support.products import Products
from surgstream.benchmarks.support.published_step import PublishedLoop
from surgstream.benchmarks.support.training import load_recipe, num_steps, resident_batches
from surgstream.configs.presets import presets
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.networks import build_objective
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
TINY = str(presets("pretrain")["surgvista_tiny"])
SMALL = (
    *(
        "objective.encoder.depth=2",
        "objective.encoder.embed_dim=32",
        "objective.encoder.image_size=32",
    ),
    *(
        "objective.reconstruction_decoder.embed_dim=32",
        "objective.distillation_decoder.embed_dim=32",
    ),
    *("global_batch_size=4", "micro_batch_size=2"),
)


def small(run_dir: Path, *changes: str) -> TrainConfig:
    return load_recipe([TINY, *SMALL, *changes], run_dir)


def test_the_published_step_has_our_losses_and_gradients(tmp_path: Path) -> None:
    changes = (
        "objective.encoder.drop_path=0",
        "objective.teacher.normalise=true",
        "objective.smooth_l1_beta=0.5",
    )
    config = small(tmp_path, *changes)
    objective, loop = build_objective(config, CPU), PublishedLoop(config, CPU)
    loop.student.load_state_dict(objective.state_dict())
    for batch in resident_batches(config, CPU):
        ours = objective(batch, objective.targets(batch))
        theirs = loop.losses(loop.batch(batch))
        parts = [ours.loss, ours.metrics["loss/reconstruction"], ours.metrics["loss/distillation"]]
        torch.testing.assert_close(torch.stack(theirs), torch.stack(parts), rtol=1e-5, atol=0)
        ours.loss.backward()
        theirs[0].backward()
    gradients = {name: parameter.grad for name, parameter in objective.named_parameters()}
    for name, parameter in loop.student.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-6, msg=name)


def test_the_published_step_learns_and_reads_a_loss_each_micro_step(tmp_path: Path) -> None:
    config = small(tmp_path, "optim.min_lr=1e-3")
    loop = PublishedLoop(config, CPU)
    batches = [loop.batch(batch) for batch in resident_batches(config, CPU)]
    losses = [loop.step(batches) for _ in range(5)]
    assert [len(step) for step in losses] == [2] * 5
    assert losses[-1] < losses[0]


def losses_of_every_loop(out: str) -> None:
    """As a run of its own: five steps of each loop, then a case of the theme `engine`."""
    from surgstream.benchmarks.support.harness import join_once
    from surgstream.benchmarks.support.training import make_trainer
    from surgstream.benchmarks.themes import engine_overhead
    from surgstream.benchmarks.themes.engine_overhead import bare_steps, engine_steps
    from surgstream.trainer.distributed import leave

    folder = Path(out).parent
    config, device = small(folder / "run", "optim.clip_grad_norm=0.5"), join_once().device
    ready = resident_batches(config, device, count=3)
    trainer, losses = make_trainer(config, itertools.cycle(ready)), []
    for _ in range(5):
        trainer.train_step()
        losses.append(trainer.steps.means()["loss/total"])
        trainer.steps.clear()
    results = {"trainer": losses}
    for loop in (bare_steps, engine_steps):
        steps = loop(config, itertools.cycle(ready), device)
        results[loop.__name__] = torch.stack(list(itertools.islice(steps, 5))).tolist()
    *_, everything = engine_overhead.cases(folder, [TINY, *SMALL])
    assert everything.run and everything.run() == everything.run() == 100 * 4
    Path(out).write_text(json.dumps(results))
    leave()


def test_the_loops_have_equal_losses_and_the_last_reports_and_saves(tmp_path: Path) -> None:
    out = tmp_path / "losses.json"
    assert finish(start_ranks(losses_of_every_loop, 1, (str(out),))) == [0]
    results = json.loads(out.read_text())
    assert len(set(results["trainer"])) == 5
    assert results["bare_steps"] == pytest.approx(results["trainer"], rel=1e-5)
    assert results["engine_steps"] == pytest.approx(results["trainer"], rel=1e-5)
    run_dir = tmp_path / "engine"
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(20, 201, 20))
    assert {path.name for path in (run_dir / "checkpoints").iterdir()} == {
        "step_00000100",
        "step_00000200",
    }


def test_products_do_the_operations_that_they_say() -> None:
    products = Products(CPU, torch.float32)
    with FlopCounterMode(display=False) as counter:
        assert products.run() == products.flops
    assert counter.get_total_flops() == products.flops


def test_a_run_takes_at_least_so_many_clips(tmp_path: Path) -> None:
    config = small(tmp_path)
    assert [num_steps(config, num_clips) for num_clips in (1, 4, 5)] == [1, 1, 2]


def test_a_recipe_needs_no_weights_and_is_overridden_last(tmp_path: Path) -> None:
    vitb = str(Path(TINY).with_name("surgvista_vitb.yaml"))
    config = load_recipe(
        [vitb, "micro_batch_size=32", "run_dir=here"], tmp_path, "micro_batch_size=8"
    )
    assert config.objective.teacher.weights is None
    assert (config.micro_batch_size, config.run_dir) == (32, "here")
