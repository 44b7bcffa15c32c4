"""A decoder of this library where a causal language model of transformers is expected."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

import autocompress as ac
from autocompress.errors import ConfigError
from autocompress.transformers import as_causal_lm
from hosts import host
from models_table import make


def decoder() -> Any:
    torch.manual_seed(0)
    return ac.models.Decoder(depth=3, width=16, vocabulary=12, length=32, heads=2).eval()


def ids(batch: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(3, 12, (batch, 6))


def test_logits_loss_and_text_are_the_decoders() -> None:
    net = decoder()
    model = as_causal_lm(net)
    out = model(input_ids=ids(), labels=ids())
    logits = net(ids())
    assert torch.equal(out.logits, logits)
    wanted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids()[:, 1:].flatten())
    torch.testing.assert_close(out.loss, wanted)
    text = model.generate(ids(), max_new_tokens=5)
    assert torch.equal(text, ac.generate(net, ids(), 5).ids)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    padded = model.generate(input_ids=ids(), attention_mask=mask, max_length=11)
    assert torch.equal(padded[0, 2:], ac.generate(net, ids()[:1, 2:], 5).ids[0])
    with pytest.raises(ConfigError, match="pad on the right"):
        model(input_ids=ids(), attention_mask=mask)
    with pytest.raises(ConfigError, match="num_beams 3"):
        model.generate(ids(), max_new_tokens=5, num_beams=3)
    with pytest.raises(ConfigError, match="net.model is a causal"):
        as_causal_lm(ac.convert(host("hf-llama")))
    with pytest.raises(ConfigError, match="not a Decoder"):
        as_causal_lm(make("vit", "acn"))


def test_lm_eval_takes_it() -> None:
    models = pytest.importorskip(
        "lm_eval.models.huggingface", reason="lm-eval is not installed (extra: clients)"
    )
    from lm_eval.api.instance import Instance
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = {word: n for n, word in enumerate(["<pad>", "<s>", "</s>", *"abcdefghi"])}
    inner = Tokenizer(WordLevel(words, unk_token="a"))
    inner.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    net = decoder()
    lm = models.HFLM(as_causal_lm(net, eos=2), tokenizer=tokenizer, device="cpu", batch_size=2)
    pairs = [("a b", " c d"), ("c", " a"), ("b b a", " i")]
    asked = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(pairs)]
    found = [value for value, _ in lm.loglikelihood(asked, disable_tqdm=True)]
    for (before, after), value in zip(pairs, found, strict=True):
        tokens = [words[w] for w in (before + after).split()]
        start = len(before.split())
        with torch.no_grad():
            rows = net(torch.tensor([tokens])).log_softmax(-1)[0]
        wanted = sum(float(rows[p - 1, tokens[p]]) for p in range(start, len(tokens)))
        assert value == pytest.approx(wanted, abs=1e-4)
    options = {"until": ["zz"], "max_gen_toks": 4, "do_sample": False}
    prompts = ["a b c", "d", "e e"]
    asked = [Instance("generate_until", {}, (p, options), n) for n, p in enumerate(prompts)]
    for prompt, text in zip(prompts, lm.generate_until(asked, disable_tqdm=True), strict=True):
        start = [words[w] for w in prompt.split()]
        alone = ac.generate(net, torch.tensor([start]), 4, stop=words["</s>"]).ids[0, len(start) :]
        assert text.split() == tokenizer.decode(alone, skip_special_tokens=True).split()
