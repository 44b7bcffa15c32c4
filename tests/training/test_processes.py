"""Several processes are one: losses, weights and counts, whatever the shares.

Every test starts processes that form a group, and asserts that they did; what they share is
compared with what one process does alone.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
import launched
from autocompress.cli import main

#: Each way to hand over data. Plain gradient steps, as AdamW makes rounding of zeros large.
DATA = """
images = torch.randn(95, 1, 4, 4, generator=torch.Generator().manual_seed(0))
labels = (images.flatten(1).sum(1) > 0).long() + (images[:, 0, 0, 0] > 1).long()
pairs = TensorDataset(images, labels)
seen = []

class Counted(Dataset):
    def __len__(self): return 95
    def __getitem__(self, i):
        seen.append(i)
        return images[i], labels[i]

class Loader(DataLoader):
    'A loader with a loop of its own.'
    def __iter__(self):
        yield from super().__iter__()

class Stream(IterableDataset):
    def __len__(self): return 95
    def __iter__(self): return iter(pairs)

bytes_ = source(95)

class Decoded(ac.data.StreamSource):
    'Decodes by looking up.'
    def __init__(self): super().__init__(range(95), bytes_.labels, None)
    shape = (1, 4, 4)
    def _decode(self, chunk):
        seen.extend(chunk.tolist())
        return bytes_.images[chunk], bytes_.labels[chunk]

augment = ac.AugmentConfig(crop_padding=1, flip=True, cutmix=0.5, mixup=0.4)
CASES = {
    "tensors": (bytes_, {"batch_size": 10}, None),
    "tensors augmented": (bytes_, {"batch_size": 10}, augment),
    "dataset": (Counted(), {"batch_size": 7}, None),
    "loader": (DataLoader(Counted(), 10, shuffle=True), {}, None),
    "loader of its own class": (Loader(Counted(), 8, shuffle=True), {}, None),
    "one row left": (DataLoader(Counted(), 47), {}, None),
    "iterable": (DataLoader(Stream(), 10), {}, None),
    "decoded": (Decoded(), {"batch_size": 9}, None),
    "decoded augmented": (Decoded(), {"batch_size": 9}, augment),
}
class Begun(ac.training.Hook):
    'What fit reads to check the data does not count.'
    def before_epoch(self, net, epoch, epochs, steps): del seen[:]

said = {}
for name, (data, options, wanted) in CASES.items():
    net = make("mixer", "acn")
    net.preprocess = {"scale": 1 / 255, "mean": [0.3], "std": [0.2]}  # not to be read off the data
    settings = config(epochs=1, optimizer="sgd", lr=0.05, **options)
    run = quiet_fit(net, data, bytes_, settings, augment=wanted, hooks=[Begun()])
    weights = torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()
    said[name] = {"history": run.history, "weights": weights, "seen": sorted(seen)}
"""


#: Losses that are not the plain mean over rows, parameters without gradients, penalties, averages.
LOSSES = """
from autocompress.data.tokens import MaskedSource, Masking, Packed
torch.manual_seed(3)
rows = Packed(torch.randint(1, 9, (240,), dtype=torch.int16), 5)
masked = lambda seed=None: MaskedSource(rows, Masking(0.3, 0, 9, reserved=[0]), 1, seed)
encoder = dict(classes=None)
few = TensorDataset(torch.randint(0, 9, (40, 6)), torch.full((40, 6), -100))
few.tensors[1][::3, 2] = 4  # two rows of three have no label at all, and the second batch
few.tensors[1][3:6] = -100
short = dict(epochs=1, batch_size=7)
CASES = {
    "masked words": ("encoder", masked(), masked(0), short, []),
    "rows without labels": ("decoder", DataLoader(few, 3), None, short, []),
    "distilled": ("mixer", source(50), None, short | dict(distil=ac.DistilConfig(every=2)), []),
    "grown": ("mixer", source(50), None, short | dict(grow=ac.GrowConfig(layers=1)), []),
    "live": ("mixer", source(50), source(40), short | dict(epochs=2, ema=0.9,
        live=ac.LiveConfig(tolerance=0.9, patience=1, start=0.0)), []),
    "pruned": ("mlp", source(50), None, short | dict(prune=ac.PruneConfig(share=0.3)), []),
    "penalised": ("mlp", source(50), None, short, [ac.SynapticIntelligence()]),
    "penalised and grown": ("mlp", source(50), None, short | dict(grow=ac.GrowConfig(layers=1)),
        [ac.SynapticIntelligence()]),
    "hacn": ("vit", source(50), None, short | dict(clip_norm=0.1), []),
}
for name, (model, data, validation, options, hooks) in CASES.items():
    net = make(model, "hacn" if name == "hacn" else "acn")
    for hook in hooks:
        hook.importance = {k: torch.ones_like(p) for k, p in net.named_parameters()}
        hook.anchor = {k: torch.zeros_like(p) for k, p in net.named_parameters()}
    settings = config(optimizer="sgd", lr=0.05, **options)
    run = quiet_fit(net, data, validation, settings, hooks=hooks)
    weights = torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()
    said[name] = {"history": run.history, "weights": weights, "seen": []}
import torch.distributed as dist
say(said=said, group=dist.get_world_size() if dist.is_initialized() else 1)
"""


#: What several processes refuse, in words that say what to do.
REFUSED = """
from accelerate import Accelerator
from torch.utils.data import DistributedSampler
def refused(data, net=None, validation=None, **options):
    try: quiet_fit(net or make("mlp", "acn"), data, validation, config(epochs=1, **options))
    except ac.errors.AutoCompressError as error: return str(error)
    return "nothing"
wrong = {}
if WORLD > 1:
    class Order:
        'Other batches in each process, drawn from no generator that fit seeds.'
        def __len__(self): return 40
        def __iter__(self): return iter(range(40)[:: 1 - 2 * RANK])
    normed = make("mlp", "acn")
    normed.head = torch.nn.Sequential(torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3))
    divided = DataLoader(pairs, 8, sampler=DistributedSampler(pairs, WORLD, RANK))
    wrong = {
        "DistributedSampler": refused(divided),
        "for validation": refused(bytes_, validation=divided),
        "prepared": refused(Accelerator(cpu=True).prepare(DataLoader(pairs, 8))),
        "order": refused(DataLoader(pairs, 8, sampler=Order())),
        "length": refused(source(48 + RANK)),
        "network": refused(bytes_, make("mlp", "acn", depth=2 + RANK)),
        "batch_size": refused(bytes_, batch_size=1),
        "BatchNorm": refused(bytes_, normed),
    }
"""

#: A network of transformers, and its fully sharded data parallel training, by torch's own means.
SHARDED = """
import conftest  # lets torchvision import, as in this process
import transformers
said, wrong = {}, {}
def converted(**more):
    torch.manual_seed(0)
    host = transformers.BertForSequenceClassification(transformers.BertConfig(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        vocab_size=20, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more))
    return ac.convert(host, "acn")
ids = torch.randint(1, 20, (8, 6), generator=torch.Generator().manual_seed(1))
net = converted(problem_type="multi_label_classification")
rows = [{"input_ids": ids[i], "labels": (torch.arange(3) <= i % 3).float()} for i in range(8)]
run = quiet_fit(net, rows, rows, config(epochs=1, batch_size=3, optimizer="sgd", lr=0.05))
weights = torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()
said["labels at once"] = {"history": run.history, "weights": weights, "seen": []}
net = converted()
if WORLD > 1:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    mesh = init_device_mesh("cpu", (WORLD,))
    for block in net.trunk.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)
kind = type(next(net.parameters()).data).__name__
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for _ in range(3):
    logits = net(ids[RANK::WORLD])
    torch.nn.functional.cross_entropy(logits, (torch.arange(8) % 3)[RANK::WORLD]).backward()
    optimizer.step()
    optimizer.zero_grad()
if WORLD > 1:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(net, options=whole)
else:
    weights = net.state_dict()
if RANK == 0:
    plain = converted()
    plain.load_state_dict(weights)
    ac.save(plain, OUT / f"sharded-{WORLD}")
"""

SAYS = """
import torch.distributed as dist
group = dist.get_world_size() if dist.is_initialized() else 1
say(said=said, group=group, wrong=wrong, kind=globals().get("kind"))
"""

Ran = tuple[dict[str, Any], list[dict[str, Any]]]


def run_both(script: str, folder: Path) -> Ran:
    """What one process says of a script, and what each of two does."""
    (one,) = launched.run(script + SAYS, folder, 1)
    two = launched.run(script + SAYS, folder, 2)
    assert [process["group"] for process in two] == [2, 2], "they must really be two"
    return one, two


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One start for all tests with networks of the library."""
    return run_both(DATA + LOSSES + REFUSED, tmp_path_factory.mktemp("processes"))


def test_two_processes_are_one(ran: Ran) -> None:
    check_alike(*ran)


def check_alike(one: dict[str, Any], two: list[dict[str, Any]]) -> None:
    for name, alone in one["said"].items():
        for shared in (process["said"][name] for process in two):
            for key, within in (("loss", 1e-5), ("losses", 1e-5), ("depths", 1e-6)):
                expected = [record[key] for record in alone["history"] if key in record]
                found = [record[key] for record in shared["history"] if key in record]
                for a, b in zip(found, expected, strict=True):
                    assert a == pytest.approx(b, abs=within), (name, key)
            assert shared["weights"] == pytest.approx(alone["weights"], abs=1e-5), name


def test_each_example_is_read_by_one_process(ran: Ran) -> None:
    one, two = ran
    for name, alone in one["said"].items():
        seen = [index for process in two for index in process["said"][name]["seen"]]
        if name == "one row left":  # a process without a row reads one that counts nothing
            assert set(seen) == set(alone["seen"])
        else:
            assert sorted(seen) == alone["seen"], name


def test_what_two_processes_would_do_otherwise_is_refused(ran: Ran) -> None:
    words = {
        "DistributedSampler": "same loader without it",
        "for validation": "same loader without it",
        "prepared": "prepared by an Accelerator",
        "order": "read different batches",
        "length": "different lengths",
        "network": "different networks",
        "batch_size": "batch_size 1 counts over all processes",
        "BatchNorm": "head.0 normalises over a batch",
    }
    for process in ran[1]:
        assert process["wrong"].keys() == words.keys()
        for name, said in process["wrong"].items():
            assert words[name] in said, name


@pytest.mark.slow
def test_a_fully_sharded_network_is_saved_for_one_process(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    one, two = run_both(SHARDED, tmp_path)
    check_alike(one, two)  # rows of several labels
    assert [one["kind"], *(process["kind"] for process in two)] == ["Tensor", "DTensor", "DTensor"]
    plain, sharded = (ac.load(tmp_path / f"sharded-{world}") for world in (1, 2))
    ids = torch.randint(1, 20, (4, 6), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(sharded(ids), plain(ids), atol=1e-6, rtol=0)


# -- the command -----------------------------------------------------------------------------------

WORDS = ["train", "--model.depth", "2", "--model.width", "8", "--fit.batch_size", "30"]
WORDS += ["--fit.optimizer", "sgd", "--fit.lr", "0.01", "--fit.evaluate_every", "20"]
WORDS += ["--data.train_limit", "110"]  # three steps an epoch


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_worker_is_killed(tmp_path: Path) -> None:
    """The other one says so and leaves; one process goes on, and arrives where one alone does."""
    words = [*WORDS, "--fit.epochs", "60", "--output"]
    run, alone = tmp_path / "run", tmp_path / "alone"
    first, second = launched.started(["-m", "autocompress.cli", *words, run], 2)
    end = time.monotonic() + launched.SECONDS
    while not (run / "checkpoints" / "epoch-0002").is_dir() and first.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    second.kill()
    (status, _, said), (killed, _, _) = launched.ended([first, second])
    assert (status, killed) == (2, -signal.SIGKILL)
    assert "another process of this run has ended" in said
    assert "Traceback" not in said
    assert "--resume\n" in said
    assert 2 <= len(losses(run)) < 60
    assert main([*words, str(run), "--resume", "true"]) == 0
    assert main([*words, str(alone)]) == 0
    assert losses(run) == pytest.approx(losses(alone), abs=1e-4)
    found, expected = (ac.load(folder / "model").state_dict() for folder in (run, alone))
    for key, weight in expected.items():
        torch.testing.assert_close(found[key], weight, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_command_under_torchs_launcher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From one process's checkpoint, on as many processes as there are; no device is named."""
    words = [*WORDS, "--fit.epochs", "3", "--output"]
    run, alone = tmp_path / "run", tmp_path / "alone"
    assert main([*words, str(alone)]) == 0
    shutil.copytree(alone, run)
    for later in (run / "model", run / "checkpoints" / "epoch-0003"):
        shutil.rmtree(later)
    again = ["autocompress.cli", *words, run, "--resume", "true"]
    done = launched.run_torchrun(again, 2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "trained, by 2 processes" in done.stdout
    assert losses(run) == pytest.approx(losses(alone), abs=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        ["compress", "--output", "run"],
        ["stream", "--output", "run"],
        ["cut", "model", "--depth", "1", "--output", "small"],
        ["probe", "model"],
    ],
)
def test_other_verbs_are_for_one_process(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also on CPUs, of which accelerate alone says nothing; with what each launcher sets."""
    monkeypatch.chdir(tmp_path)
    for variables in ({"RANK": "1", "WORLD_SIZE": "2"}, {"OMPI_COMM_WORLD_SIZE": "2"}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert main(words) == 2
        said = capsys.readouterr().err
        assert f"acn {words[0]} runs in one process, and 2 were launched" in said
    assert list(tmp_path.iterdir()) == []
