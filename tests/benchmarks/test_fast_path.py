import torch

from surgstream.benchmarks.themes.fast_path import _attend_with_late_bias
from surgstream.trainer.models.vit import Attention


def test_late_biases_give_the_same_attention() -> None:
    attention, x = Attention(32, 2), torch.randn(2, 5, 32)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    torch.testing.assert_close(_attend_with_late_bias(attention, x), attention(x))
