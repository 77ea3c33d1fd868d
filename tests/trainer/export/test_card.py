"""The model card: what it says of corpus, results and licence, and what it never says."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from surgstream.configs.loading import load, to_tree
from surgstream.launch.__main__ import main
from surgstream.shards.reading.subsets.summary import CorpusSummary, DatasetSummary
from surgstream.trainer.config import TrainConfig, WarmStartConfig, load_recipe
from surgstream.trainer.encoders.choice import load_frozen
from surgstream.trainer.encoders.config import FrozenConfig
from surgstream.trainer.engine.schedules import Progress
from surgstream.trainer.errors import CheckpointError, EvaluationError
from surgstream.trainer.evaluation.report.result import Result, Row, Value, to_json
from surgstream.trainer.export.card import Told, card
from surgstream.trainer.export.citations import bibtex
from surgstream.trainer.export.folder.forms import form_for
from surgstream.trainer.export.recipe import recipe_bytes, told
from surgstream.trainer.export.results import read_results
from surgstream.trainer.export.source import TrainedEncoder, read_source
from surgstream.trainer.resume import recipe_changes
from tests.helpers.ranks import process_group
from tests.trainer.export.saved import CONFIGS, Saved, save
from tests.trainer.objectives.test_vjepa21 import CONFIG as VJEPA21

SUMMARY = CorpusSummary(
    datasets=(
        DatasetSummary(name="cholec80", specialty="laparoscopy", videos=40, hours=23.98, licence="CC-BY-NC-SA-4.0"),
        DatasetSummary(name="pitvis", specialty="neurosurgery", videos=25, hours=33.3, licence=None),
    )
)  # fmt: skip


def value(number: float, low: float = math.nan, high: float = math.nan) -> Value:
    return Value(value=number, low=low, high=high, interval="", averaged="")


def row(name: str, number: Value, *marks: str, kind: Any = "model", **about: Any) -> Row:
    values = {"phase_jaccard": number, "accuracy": value(0.11)}
    files = {"/home/somebody/secret/predictions.npz": "0"}
    return Row(name=name, kind=kind, values=values, per_video={"secret_video": {}}, marks=marks,
               files=files, about=about)  # fmt: skip


YARDSTICKS = (
    row("constant", value(0.054), kind="yardstick"),
    row("chance", value(0.081), kind="yardstick"),
    row("time alone", value(0.5), kind="yardstick"),
)
OURS = row("ours", value(0.7812, 0.75, 0.81), protocol="probe_linear", weights="/home/somebody/run")
RANDOM = row("x", value(0.22, 0.2, 0.24), weights="random:/home/somebody/run")


def write(folder: Path, *rows: Row, **changes: Any) -> Path:
    """The result of an evaluation, as `surgstream evaluate --out` keeps it."""
    about = {"title": "Jaccard of phases", "percent": True, "higher_is_better": True}
    result = Result(
        task="cholec80_phases",
        version=1,
        title="Cholec80, phases",
        split="test",
        main="phase_jaccard",
        metrics={"phase_jaccard": about, "accuracy": about},
        num_videos=40,
        num_rows=9,
        num_groups=40,
        videos_sha256="",
        labels="/home/somebody/labels",
        labels_sha256="",
        rows=(*rows, *YARDSTICKS),
    )
    path = folder / "result.json"
    path.write_text(json.dumps(to_json(replace(result, **changes))))
    return path


@pytest.fixture(scope="module")
def source(saved: Saved) -> TrainedEncoder:
    return replace(read_source(saved["videomae"][0], averaged=True), summary=SUMMARY)


def page(source: TrainedEncoder, **things: Any) -> str:
    form = form_for("surgstream", source.recipe.objective)
    return card(source.record("surgstream"), source, form, Told(**things))


def table(text: str, heading: str) -> list[dict[str, str]]:
    """The rows of the table of a section, by its heading."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_the_corpus_is_told_with_hours_and_licences(source: TrainedEncoder) -> None:
    text = page(source)
    assert table(text, "What it was trained on") == [
        {"dataset": "cholec80", "specialty": "laparoscopy", "licence": "CC-BY-NC-SA-4.0", "videos": "40",
         "hours": "24", "clips": "900", "share of the draws": "75 %"},
        {"dataset": "pitvis", "specialty": "neurosurgery", "licence": "not stated", "videos": "25",
         "hours": "33.3", "clips": "300", "share of the draws": "25 %"},
    ]  # fmt: skip
    assert "\n65 videos, 57.3 hours, which have 1,200 clips." in text


@pytest.mark.parametrize(
    ("warm_start", "sentence"),
    [
        (None, "random weights"),
        (WarmStartConfig(weights="w", parts="encoder"), "an encoder that had been trained before; what "),
        (WarmStartConfig(weights="w"), "all weights that had been trained before; "),
    ],
)  # fmt: skip
def test_what_it_began_with_is_told(
    warm_start: WarmStartConfig | None, sentence: str, source: TrainedEncoder
) -> None:
    text = page(replace(source, recipe=replace(source.recipe, warm_start=warm_start)))
    assert f"| began with | {sentence}" in text


def test_a_checkpoint_of_before_has_no_hours_and_says_so(source: TrainedEncoder) -> None:
    text = page(replace(source, summary=None))
    assert {row["hours"] for row in table(text, "What it was trained on")} == {"–"}
    assert "does not tell of how many videos, nor their licences" in text


def test_results_stand_beside_what_they_must_beat(source: TrainedEncoder, tmp_path: Path) -> None:
    results = read_results([("", write(tmp_path, OURS, RANDOM))])
    assert table(page(source, results=results), "Evaluation") == [
        {
            "task": "Cholec80, phases", "videos": "40 of test", "on top": "probe_linear",
            "metric": "phase_jaccard, %", "what to know": "leaks not checked", "weights": "not told",
            "this encoder": "78.1 [75.0, 81.0]", "constant": "5.4", "chance": "8.1", "random weights": "22.0",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (row("a", value(0.5), "2 seeds", "contaminated (3 of 40 videos)"), "2 seeds; contaminated (3 of 40 videos)"),
        (row("a", value(0.5), leaks="clean"), "clean"),
        (row("a", value(0.5), leaks={"verdict": "unknown", "videos": ["secret"]}), "unknown"),
        (row("a", value(0.5), "clean", leaks="clean"), "clean"),
        (row("a", value(0.5), "= constant"), "= constant; leaks not checked"),
    ],
)  # fmt: skip
def test_marks_and_verdicts_about_leaks_are_passed_on(
    ours: Row, expected: str, source: TrainedEncoder, tmp_path: Path
) -> None:
    results = read_results([("", write(tmp_path, ours))])
    text = page(source, results=results)
    assert table(text, "Evaluation")[0]["what to know"] == expected

    (index,) = ModelCard(text).data.eval_results
    assert index.metric_name == f"phase_jaccard ({expected})", "nothing else there would show it"


def test_an_encoder_that_made_the_predictions_is_known_by_its_hash(
    source: TrainedEncoder, tmp_path: Path
) -> None:
    def whose(made_by: str | None, identity: str | None) -> str:
        about = {} if made_by is None else {"encoder_sha256": made_by}
        results = read_results([("", write(tmp_path, row("a", value(0.5), **about)))])
        return table(page(source, results=results, identity=identity), "Evaluation")[0]["weights"]

    assert whose("abc", "abc") == "these"
    assert whose("abc", "abd") == "others, or other clips"
    assert whose(None, "abc") == whose("abc", None) == "not told"


def test_values_that_are_undefined_are_no_numbers(source: TrainedEncoder, tmp_path: Path) -> None:
    results = read_results([("", write(tmp_path, row("a", value(math.nan))))])
    text = page(source, results=results)
    assert table(text, "Evaluation")[0]["this encoder"] == "–"
    assert "model-index" not in text


def test_of_several_models_one_is_named(source: TrainedEncoder, tmp_path: Path) -> None:
    path = write(tmp_path, OURS, row("theirs", value(0.9)), RANDOM)
    assert read_results([("theirs", path)])[0].value.value == 0.9
    assert read_results([("x", path)])[0].value.value == 0.22
    with pytest.raises(
        EvaluationError, match=r"its models ours, theirs, x as the encoder, got no name"
    ):
        read_results([("", path)])
    with pytest.raises(
        EvaluationError, match=r"got 'their'; write --results MODEL=FILE; did you mean 'theirs'"
    ):
        read_results([("their", path)])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": [3]}', '{"rows": []}', "[" * 10**5, '{"rows": [{"name": "a", "kind": "model"}]}']
)  # fmt: skip
def test_what_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=r"result.json: expected"):
        read_results([("", path)])
    with pytest.raises(
        EvaluationError, match=r"absent: expected a result.json .* got: No such file"
    ):
        read_results([("", tmp_path / "absent")])


def test_hugging_face_reads_the_front_matter(source: TrainedEncoder, tmp_path: Path) -> None:
    results = read_results([("", write(tmp_path, OURS, RANDOM))])
    data = ModelCard(page(source, licence="CC-BY-NC-SA-4.0", results=results)).data
    assert data.license == "cc-by-nc-sa-4.0"
    assert data.library_name == "surgstream"
    assert data.tags == ["surgical-video", "self-supervised", "videomae"]
    assert data.model_name == "surgstream videomae encoder"

    (index,) = data.eval_results
    assert (index.task_type, index.dataset_type, index.dataset_split) == (
        "video-classification",
        "cholec80_phases",
        "test",
    )
    assert (index.metric_type, index.metric_value) == ("phase_jaccard", 0.7812)
    assert not index.verified


@pytest.mark.parametrize(
    ("licence", "front", "sentence"),
    [
        (None, {"license": "unknown"}, "Not stated: whoever trained this encoder chooses it"),
        ("Apache-2.0", {"license": "apache-2.0"}, "The weights are under Apache-2.0."),
        ("EUPL-1.2", {"license": "other", "license_name": "EUPL-1.2"}, "The weights are under EUPL-1.2."),
    ],
)  # fmt: skip
def test_the_licence_is_what_is_stated(
    licence: str | None, front: dict[str, str], sentence: str, source: TrainedEncoder
) -> None:
    text = page(source, licence=licence)
    assert front.items() <= ModelCard(text).data.to_dict().items()
    assert sentence in text


@pytest.mark.parametrize("objective", [*CONFIGS, "vjepa2_1"])
def test_citations_are_of_the_objective(objective: str) -> None:
    text = bibtex(VJEPA21 if objective == "vjepa2_1" else CONFIGS[objective])
    assert text.count("{") == text.count("}")
    assert text.startswith("@software{surgstream,")
    numbers = {"surgvista": ("2506.02692", "2203.12602"), "videomae": ("2203.12602",),
               "vjepa": ("2506.09985",), "vjepa2_1": ("2603.14482", "2506.09985"),
               "unisurg": ("2602.05638", "2506.09985"), "surgmotion": ("2602.05638", "2506.09985"),
               "salt": ("2509.24317", "2506.09985")}  # fmt: skip
    assert [line.split("{")[1][:10] for line in text.splitlines() if "eprint" in line] == [
        *numbers[objective]
    ]


SECRET = "secret"
PRIVATE = (
    f"run_dir=/{SECRET}/run", f"data.corpus=s3://{SECRET}/corpus", f"data.cache_dir=/{SECRET}/cache",
    f"data.s3.endpoint_url=https://{SECRET}.example", f"data.s3.profile={SECRET}", f"data.s3.region={SECRET}",
    f"held_out={{corpus: /{SECRET}/held_out}}", f"probe={{corpus: /{SECRET}/p, test_corpus: /{SECRET}/q}}",
    f"objective.teacher.weights=/{SECRET}/teacher.pth", f"warm_start={{weights: /{SECRET}/step_1, parts: encoder}}",
    f"resume=/{SECRET}/step_2",
)  # fmt: skip


def test_neither_recipe_nor_card_names_a_place_or_a_video(
    source: TrainedEncoder, tmp_path: Path
) -> None:
    recipe = load(TrainConfig, "configs/pretrain/surgvista_tiny.yaml", PRIVATE)
    assert SECRET in str(to_tree(recipe)), "or nothing is tested"
    assert SECRET not in recipe_bytes(recipe).decode()

    private = row(f"/{SECRET}/model", value(0.5), protocol=f"/{SECRET}/protocol.yaml", weights=f"s3://{SECRET}/w",
                  encoder=f"{SECRET} step_1")  # fmt: skip
    path = write(tmp_path, private, title=f"s3://{SECRET}/task.yaml")
    results = read_results([("", path)])
    text = page(
        replace(source, recipe=replace(source.recipe, run_dir=f"/{SECRET}")), results=results
    )
    assert SECRET in path.read_text()
    assert SECRET not in text and "somebody" not in text and str(tmp_path) not in text
    assert "![" not in text and "<img" not in text


def test_texts_of_others_are_no_marks(source: TrainedEncoder, tmp_path: Path) -> None:
    path = write(tmp_path, row("a", value(0.5)), title="a|b <img src=x>\n# c\x1b[0m")
    text = page(source, results=read_results([("", path)]))
    assert "| a\\|b &lt;img src=x&gt; # c\\x1b[0m |" in text


def test_the_recipe_trains_again_once_its_places_are_given(tmp_path: Path) -> None:
    recipe = load(
        TrainConfig,
        "configs/pretrain/surgvista_tiny.yaml",
        [
            "data.datasets=[a, b]",
            "data.order.weights=balanced",
            "max_steps=7",
            "optim.base_lr=1e-3",
        ],
    )
    (tmp_path / "recipe.yaml").write_bytes(recipe_bytes(recipe))
    again = load_recipe(tmp_path / "recipe.yaml", ["run_dir=x", "data.corpus=y"])
    progress = Progress(step=1, clips_seen=1, state={"config": to_tree(recipe)})
    assert not recipe_changes(progress, again)
    assert again.data.datasets == ("a", "b") and again.max_steps == 7
    assert again.data.order == recipe.data.order
    assert "held_out" not in told(recipe) and "run_dir" not in told(recipe)


@pytest.mark.slow
def test_export_takes_licence_and_results(
    saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = saved["vjepa"][0]
    identity = load_frozen(str(checkpoint), FrozenConfig(), 0).identity
    path = write(tmp_path, row("a", value(0.5), encoder_sha256=identity), RANDOM)
    words = [
        "export",
        str(checkpoint),
        str(tmp_path / "out"),
        "--licence",
        "MIT",
        "--results",
        f"a={path}",
    ]
    assert main(words) == 0
    text = (tmp_path / "out" / "README.md").read_text()
    assert table(text, "Evaluation")[0]["weights"] == "these"
    assert "The weights are under MIT." in text
    assert "(recipe.yaml)" in text and (tmp_path / "out" / "recipe.yaml").is_file()

    trained = [*words[:2], str(tmp_path / "trained"), *words[3:], "--weights", "trained"]
    assert main(trained) == 0
    text = (tmp_path / "trained" / "README.md").read_text()
    assert table(text, "Evaluation")[0]["weights"] == "others, or other clips"
    capsys.readouterr()


@pytest.mark.parametrize("licence", ["", "a b", "Apache/2", "-x", "(MIT)"])
def test_a_licence_is_an_identifier(licence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "x", "y", f"--licence={licence}"])
    assert "expected an identifier of SPDX, such as Apache-2.0, got" in capsys.readouterr().err


@pytest.mark.parametrize("summary", [3, {}, {"datasets": [{"name": "a"}]}, None])
def test_a_forged_summary_is_told(summary: Any, tmp_path: Path) -> None:
    with process_group():
        checkpoint, _ = save(CONFIGS["videomae"], tmp_path, corpus_summary=summary)
    with pytest.raises(CheckpointError, match=r"state\.json: corpus_summary"):
        read_source(checkpoint, averaged=True)


def test_a_summary_is_read_back(tmp_path: Path) -> None:
    with process_group():
        checkpoint, _ = save(CONFIGS["videomae"], tmp_path, corpus_summary=to_tree(SUMMARY))
    assert read_source(checkpoint, averaged=True).summary == SUMMARY
