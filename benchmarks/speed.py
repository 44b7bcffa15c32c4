"""Compare times and memory with those of other libraries and of code by hand, side by side.

    python benchmarks/speed.py [--rounds 9] [--only ROW] [--table]

Every row is written to benchmarks/results/speed.json as soon as it is there, and rows in it are not
measured again. Both sides take turns in one process, on one thread, and the ratio is the median of
the rounds' ratios, with its quartiles. Two clocks read each turn, the wall's and the processor's
(with that of child processes): on a busy machine the second is steadier. ``--table`` only writes
the table of docs/speed.md.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from checkout import ROOT
from rows import measure_rows
from starts import start

RESULT = ROOT / "benchmarks" / "results" / "speed.json"
PAGE = ROOT / "docs" / "speed.md"

Call = Callable[[], object]
Row = dict[str, Any]


# -- measuring -------------------------------------------------------------------------------------


def processor_time() -> float:
    """Return the processor time of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


CLOCKS = {"wall": time.perf_counter, "processor": processor_time}


def turns(ours: Call, theirs: Call, rounds: int, warm: int = 2) -> Row:
    """Return the times of two calls that take turns, and how many times as long ours takes."""
    for _ in range(warm):
        ours(), theirs()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CLOCKS}
    for number in range(rounds):
        order = (ours, theirs) if number % 2 else (theirs, ours)
        taken = {}
        for call in order:
            start = {name: clock() for name, clock in CLOCKS.items()}
            call()
            taken[call] = {name: clock() - start[name] for name, clock in CLOCKS.items()}
        for name in CLOCKS:
            found[name].append((taken[ours][name], taken[theirs][name]))
    row: Row = {"rounds": rounds}
    for name, pairs in found.items():
        low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4, method="inclusive")
        row[name] = {
            "ours_ms": round(1000 * statistics.median(a for a, _ in pairs), 3),
            "theirs_ms": round(1000 * statistics.median(b for _, b in pairs), 3),
            "ratio": round(middle, 4),
            "quartiles": [round(low, 4), round(high, 4)],
        }
    return row


# -- training: our models beside those of timm and transformers ------------------------------------

SIZES = {"depth": 12, "width": 128, "heads": 4}


def step_of(net: Any, inputs: Any, labels: Any) -> Call:
    """Return a function that takes one step of AdamW."""
    import torch

    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        out = net(**inputs) if isinstance(inputs, dict) else net(inputs)
        torch.nn.functional.cross_entropy(getattr(out, "logits", out), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def vision(rule: str) -> tuple[list[Any], list[Any], Any]:
    """Return our ViT and timm's, their inputs, and labels."""
    import timm
    import torch

    import autocompress as ac

    ours = ac.models.ViT(image_size=32, patch_size=4, channels=3, connectivity=rule, **SIZES)
    options = {"embed_dim": 128, "depth": 12, "num_heads": 4, "num_classes": 10}
    theirs = timm.models.VisionTransformer(img_size=32, patch_size=4, **options)
    x = torch.randn(16, 3, 32, 32)
    return [ours.train(), theirs.train()], [x, x], torch.arange(16) % 10


def language(rule: str) -> tuple[list[Any], list[Any], Any]:
    """Return our encoder and transformers' BERT, their inputs, and labels."""
    import torch
    import transformers

    import autocompress as ac

    ours = ac.models.Encoder(vocabulary=1000, length=64, classes=10, connectivity=rule, **SIZES)
    config = transformers.BertConfig(
        vocab_size=1000,
        hidden_size=128,
        num_hidden_layers=12,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=64,
        num_labels=10,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    theirs = transformers.BertForSequenceClassification(config)
    ids = torch.randint(1, 1000, (16, 64))
    ids[::2, 48:] = 0
    mask = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    return [ours.train(), theirs.train()], [ids, mask], torch.arange(16) % 10


def training(build: Callable[[str], Any], rule: str, rounds: int) -> Row:
    """Return the time and the peak memory of a training step beside the other library's."""
    from autocompress.measurement import peak_memory

    nets, inputs, labels = build(rule)
    steps = [step_of(net, x, labels) for net, x in zip(nets, inputs, strict=True)]
    row = turns(steps[0], steps[1], rounds)
    peaks = [peak_memory(step, baseline=[net]) for step, net in zip(steps, nets, strict=True)]
    row["memory"] = {
        "ours_mb": round(peaks[0] / 1e6, 3),
        "theirs_mb": round(peaks[1] / 1e6, 3),
        "ratio": round(peaks[0] / peaks[1], 4),
    }
    return row


# -- depth: probe, cut and memory ------------------------------------------------------------------


def model(rule: str = "acn", depth: int = 12) -> Any:
    """Return a ViT of 12 layers in eval mode."""
    import torch

    import autocompress as ac

    torch.manual_seed(0)
    options = {**SIZES, "depth": depth, "image_size": 8, "channels": 1, "connectivity": rule}
    return ac.models.ViT(**options).eval()


def probing(rounds: int) -> Row:
    """Return the time of a probe of all depths beside a pass for each of the L + 1 cuts."""
    import torch
    from torch.utils.data import TensorDataset

    import autocompress as ac

    net = model()
    data = TensorDataset(torch.randn(128, 1, 8, 8), torch.arange(128) % 10)
    cuts = [ac.cut(net, depth) for depth in range(net.depth + 1)]

    def passes() -> None:
        for small in cuts:
            with torch.inference_mode():
                (small(data.tensors[0]).argmax(1) == data.tensors[1]).double().mean().item()

    return turns(lambda: ac.probe(net, data), passes, rounds)


def by_hand(net: Any, depth: int, whole: bool) -> Call:
    """Return a function of x: stem, ``depth`` blocks and head, with ACN's sum, called by hand.

    The blocks are called whole, or the modules inside them: norms, attention and MLP.
    """
    blocks = list(net.trunk.blocks)[:depth]

    def run(x: Any) -> Any:
        h = net.stem(x)
        total = h
        for block in blocks:
            if whole:
                h = block(h, 0.0)
                total = total + h
                continue
            attention, mlp = block.branches
            h = mlp.body(mlp.pre(attention.body(attention.pre(h))))
            total = total + h
        return net.head(total)

    return run


def cutting(batch: int, whole: bool, rounds: int) -> Row:
    """Return the time of a cut network beside stem, blocks and head called by hand."""
    import torch

    import autocompress as ac

    net = model()
    small, ideal = ac.cut(net, 6), by_hand(net, 6, whole)
    x = torch.randn(batch, 1, 8, 8)
    with torch.inference_mode():
        if not torch.equal(small(x), ideal(x)):
            raise SystemExit("the cut network and the code by hand differ")
        often = max(1, 16 // batch)

        def repeated(call: Call) -> Call:
            return lambda: [call(x) for _ in range(often)]  # type: ignore[call-arg]

        return turns(repeated(small), repeated(ideal), rounds)


def memory_by_depth(rounds: int) -> Row:
    """Return the memory of activations in inference for 12 to 96 layers."""
    import torch

    from autocompress.measurement import peak_memory

    x, found = torch.randn(32, 1, 8, 8), {}
    with torch.no_grad():
        for depth in (12, 24, 48, 96):
            net = model(depth=depth)
            found[depth] = peak_memory(lambda net=net: net(x))
    sizes = {f"{depth} layers": round(size / 1e6, 4) for depth, size in found.items()}
    most, least = max(found.values()), min(found.values())
    said = {"ours_mb": round(most / 1e6, 4), "theirs_mb": round(least / 1e6, 4)}
    return {"memory": {**said, "ratio": round(most / least, 4)}, "sizes_mb": sizes}


# -- data, the start of a training, and the bootstrap ----------------------------------------------


def feeding(rounds: int) -> Row:
    """Return the time per epoch of our data beside a DataLoader of torchvision's transforms."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    import autocompress as ac
    from autocompress.data import ImageInput, TensorSource
    from autocompress.data.augment import Augment
    from autocompress.training.inputs import Normalise

    size = 2048
    pixels = torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8)
    labels = torch.arange(size) % 10
    mean, std = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    source, cpu = TensorSource(pixels, labels), torch.device("cpu")
    augment = Augment(ac.AugmentConfig(crop_padding=4, flip=True), classes=10)
    normalise = Normalise(ImageInput(mean=mean, std=std).to_json(), cpu)

    def ours() -> None:
        for images, _ in source.batches(128, torch.randperm(size)):
            normalise(augment.pixels(images.float() / 255))

    class Pictures(Dataset[Any]):
        """As torchvision.datasets.CIFAR10 keeps and returns them."""

        rows = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        names = labels.tolist()
        change = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

        def __len__(self) -> int:
            return size

        def __getitem__(self, index: int) -> Any:
            return self.change(Image.fromarray(self.rows[index])), self.names[index]

    loader = DataLoader(Pictures(), 128, shuffle=True, num_workers=2)

    def theirs() -> None:
        for _ in loader:
            pass

    row = turns(ours, theirs, rounds, warm=1)
    for clock in CLOCKS:
        row[clock]["ours_per_s"] = round(1000 * size / row[clock]["ours_ms"])
        row[clock]["theirs_per_s"] = round(1000 * size / row[clock]["theirs_ms"])
    return row


def starting(other: str, rounds: int) -> Row:
    """Return the time of ``acn train`` to its first step beside that of another process."""
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(10**6))
        return turns(
            lambda: start("acn", str(Path(folder) / str(next(number)))),
            lambda: start(other),
            rounds,
            warm=1,
        )


def selecting(rounds: int) -> Row:
    """Return the time of 1,000 resamples of 192,000 x 9 hits beside drawing the examples."""
    import torch

    from autocompress.statistics import resampled_means

    right_from = torch.randint(0, 12, (192_000, 1))
    hits = right_from <= torch.arange(9)

    def drawn() -> None:  # a hundredth of the resamples
        for _ in range(10):
            hits[torch.randint(len(hits), (len(hits),))].double().mean(0)

    row = turns(lambda: resampled_means(hits), drawn, rounds, warm=1)
    for clock in CLOCKS:  # all resamples of theirs
        row[clock]["theirs_ms"] *= 100
        row[clock]["ratio"] = round(row[clock]["ratio"] / 100, 5)
        row[clock]["quartiles"] = [round(one / 100, 5) for one in row[clock]["quartiles"]]
    return row


#: Rows by name: how each is measured, what it is compared with, and the largest ratio aimed at.
ROWS: dict[str, tuple[Callable[[int], Row], str, float]] = {
    "training step, ViT, residual": (
        lambda n: training(vision, "residual", n),
        "timm's VisionTransformer",
        1.0,
    ),
    "training step, ViT, ACN": (
        lambda n: training(vision, "acn", n),
        "timm's VisionTransformer",
        1.0,
    ),
    "training step, encoder, residual": (
        lambda n: training(language, "residual", n),
        "transformers' BERT",
        1.0,
    ),
    "training step, encoder, ACN": (
        lambda n: training(language, "acn", n),
        "transformers' BERT",
        1.0,
    ),
    "probe of 13 depths": (probing, "a pass for each of the 13 cut networks", 0.25),
    **{
        f"cut network, batch {batch}{', inside blocks' if inside else ''}": (
            lambda n, batch=batch, often=often, inside=inside: cutting(
                batch, not inside, often * n
            ),
            "the modules inside blocks, by hand" if inside else "stem, blocks and head by hand",
            1.03,
        )
        for inside in (False, True)
        for batch, often in ((1, 8), (64, 2))
    },
    "memory of activations, 12 to 96 layers": (memory_by_depth, "that of the fewest", 1.01),
    "pictures of 32 pixels, cropped and flipped": (
        feeding,
        "DataLoader, 2 workers, transforms of torchvision",
        1.0,
    ),
    "acn train to its first step": (
        lambda n: starting("script", n),
        "a script with torch and scikit-learn, same network and data",
        1.0,
    ),
    "acn train to its first step (import)": (
        lambda n: starting("torch", n),
        "import torch",
        3.0,
    ),
    "1,000 resamples to select a depth": (selecting, "drawing each example", 0.01),
}


# -- the page --------------------------------------------------------------------------------------


def verdict(ratio: float, goal: float, quartiles: list[float]) -> str:
    """Return whether the goal is met, as far as the spread allows to say."""
    low, high = quartiles
    if high - low > max(abs(ratio - 1), 0.1):
        return "noisy"
    if high <= goal:
        return "met"
    return "missed" if low > goal else "level"


def table(rows: dict[str, Row]) -> str:
    """Return all rows as Markdown."""
    from autocompress.printing import markdown

    lines = []
    for name, (_, other, goal) in ROWS.items():
        row = rows.get(name)
        if row is None:
            continue
        for clock in CLOCKS:
            if clock in row:
                one = row[clock]
                low, high = one["quartiles"]
                ratio = f"{one['ratio']:.3g} ({low:.3g} to {high:.3g})"
                said = verdict(one["ratio"], goal, one["quartiles"])
                times = (f"{one['ours_ms']:,.0f} ms", f"{one['theirs_ms']:,.0f} ms")
                lines.append((name, other, clock, *times, ratio, f"{goal:g}", said))
        if "memory" in row:
            one = row["memory"]
            sizes = (f"{one['ours_mb']:.3g} MB", f"{one['theirs_mb']:.3g} MB")
            said = "met" if one["ratio"] <= goal else "missed"
            lines.append((name, other, "memory", *sizes, f"{one['ratio']:.3g}", f"{goal:g}", said))
    headings = ["what", "against", "measured", "ours", "theirs", "ours / theirs", "at most", ""]
    return markdown(headings, lines)


def marked(page: str) -> str:
    """Return docs/speed.md with the table of the committed results."""
    from autocompress_studies.page import between

    return between(page, "speed", table(json.loads(RESULT.read_text())["rows"]))


def measured(name: str, rounds: int) -> Row:
    """Return a row with its goal and the load of the machine after it."""
    import torch

    measure, _, goal = ROWS[name]
    torch.manual_seed(0)
    return {**measure(rounds), "goal": goal, "load": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Measure the rows that are missing, and write each at once."""
    measure_rows(
        *(__doc__, RESULT, PAGE, marked),
        lambda rounds: [(name, partial(measured, name, rounds)) for name in ROWS],
        rounds=9,
    )


if __name__ == "__main__":
    main()
