"""Exported folders: segments that compute what the network does, and the program beside them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import autocompress as ac
from autocompress.data.tokenizer import train_tokenizer
from autocompress.deploy import Cascade, CascadeError
from autocompress.deploy.cascade import main as program
from autocompress.deploy.checking import LOADERS
from autocompress.deploy.manifest import exits_at
from autocompress.deploy.tracing import roles_of
from autocompress.deploy.writing import read_metadata
from autocompress.errors import ConfigError, DepthError, ExportError, OutputError, UnknownNameError
from marks import slow_but
from models_table import images, make

NAMES = ["cat", "dog", "Kuh \N{COW}"]
PT2 = LOADERS["pt2"][1]


def pictured() -> ac.Network:
    torch.manual_seed(3)
    net = ac.models.MLP(depth=3, width=8, classes=3, image_size=2, channels=1)
    net.class_names = NAMES
    net.preprocess = ac.data.ImageInput(mean=(0.4,), std=(0.3,), size=(2, 2), channels=1).to_json()
    return net.eval()


def pixels(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, 1, 2, 2), generator=generator, dtype=torch.uint8)


def rule_for(net: ac.Network, x: torch.Tensor, criterion: str = "entropy") -> ac.ExitRule:
    """Exits at depths 1 and 3, at which some of ``x`` leave and others stay."""
    measure = ac.ExitRule.uniform(criterion, [1, 3], 0.5).measure
    with torch.no_grad():
        values, _ = measure.values(net(x, 1) / 0.7)
    middle = values.sort().values[len(x) // 2 - 1 : len(x) // 2 + 1]  # the limit is between two
    return ac.ExitRule.uniform(criterion, [1, 3], float(middle.mean()), 0.7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = pictured()
    path = tmp_path_factory.mktemp("exported") / "net"
    exits = rule_for(net, normalised(net, pixels(20)))
    done = ac.export(net, path, depths=[1, 3], exits=exits, raw=True, source="runs/cats")
    assert isinstance(done, ac.Exported)
    assert done.depths == (1, 3)
    assert done.max_abs_difference < 1e-5
    return path


def normalised(net: ac.Network, x: torch.Tensor) -> torch.Tensor:
    return ac.data.ImageInput.of(net.preprocess)(x)


def rows(count: int) -> Any:
    return pixels(count).permute(0, 2, 3, 1).numpy()


def test_examples_leave_where_they_leave_in_torch_and_come_back_in_order(folder: Path) -> None:
    net = pictured()
    x = normalised(net, pixels(20))
    said = json.loads((folder / "export.json").read_text())["exits"]
    limit = said["exits"][0]["threshold"]
    with torch.no_grad():
        by_depth = {k: net(x, k) for k in (1, 3)}
    expected = []
    for row in range(20):
        for depth in (1, 3):
            log = (by_depth[depth][row] / 0.7).log_softmax(-1)
            if depth == 3 or -(log.exp() * log).sum() < limit:
                expected.append(depth)
                break
    found = Cascade(folder).run({"images": rows(20)})
    assert found.depths.tolist() == expected
    assert len(set(expected)) > 1
    for row, depth in enumerate(expected):
        torch.testing.assert_close(
            torch.from_numpy(found.logits[row]), by_depth[depth][row], atol=1e-5, rtol=0
        )
    full = Cascade(folder).run({"images": rows(3)}, exits=False)
    assert full.depths.tolist() == [3, 3, 3]


def test_names_and_probabilities_are_those_of_a_predictor(folder: Path) -> None:
    net = pictured()
    said = Cascade(folder).predict(rows(5), top=2, exits=False)
    for mine, theirs in zip(said, ac.Predictor(net)(pixels(5), top=2), strict=True):
        assert [name for name, _ in mine["top"]] == [name for name, _ in theirs.top]
        assert mine["probability"] == pytest.approx(theirs.probability, abs=1e-5)
    one = Cascade(folder).predict(rows(1)[0], exits=False)
    assert one == Cascade(folder).predict([rows(1)[0, :, :, 0]], exits=False)


def test_the_program_runs_onnx_whatever_the_order_of_formats(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = pictured()
    ac.export(net, tmp_path / "both", formats=["pt2", "onnx"])
    (answer,) = Cascade(tmp_path / "both").predict(rows(1))
    assert answer["label"] == ac.Predictor(net)(pixels(1))[0].label
    ac.export(net, tmp_path / "one", formats=["pt2"])
    with pytest.raises(CascadeError, match=r"segment-3.pt2 is not ONNX: export with --format onnx"):
        Cascade(tmp_path / "one")


@pytest.mark.parametrize("raw", [True, False])
def test_a_network_in_half_precision_answers_from_its_folder(raw: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    net = pictured().half()
    ac.export(net, tmp_path / "net", depths=[1, 3], raw=raw, tolerance=1e-2)
    answers = Cascade(tmp_path / "net").predict(rows(5), exits=False)
    for mine, theirs in zip(answers, ac.Predictor(net)(pixels(5)), strict=True):
        assert mine["probability"] == pytest.approx(theirs.probability, abs=1e-2)


@pytest.mark.parametrize("name", ["net", "net.onnx"])
def test_what_rounding_fails_names_the_precision_and_no_temporary_file(
    name: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    advice = (
        r"^what was written computes .* in float16: export net\.float\(\), or accept a tolerance"
    )
    with pytest.raises(ac.errors.ExportError, match=advice):
        ac.export(pictured().half(), tmp_path / name, raw=True, tolerance=1e-12)
    assert not list(tmp_path.iterdir())


def test_what_a_runtime_cannot_run_names_the_precision(tmp_path: Path) -> None:
    with pytest.raises(ac.errors.ExportError, match=r"in bfloat16: export net\.float\(\)$"):
        ac.export(pictured().bfloat16(), tmp_path / "net", formats=["pt2"])


def test_the_graph_itself_answers_in_words(folder: Path) -> None:
    import onnxruntime

    cascade = Cascade(folder)
    *_, (_, logits) = cascade.readouts({"images": rows(6)})
    arrays = {"images": rows(6)}
    for segment in cascade.manifest["segments"]:
        session = onnxruntime.InferenceSession(folder / segment["file"])
        fed = {one.name: arrays[one.name] for one in session.get_inputs()}
        names = [one.name for one in session.get_outputs()]
        arrays.update(zip(names, session.run(names, fed), strict=True))
    head = onnxruntime.InferenceSession(folder / "head.onnx")
    label, shares = head.run(["label", "probabilities"], {"readout": arrays["readout"]})
    assert label.tolist() == [NAMES[n] for n in logits.argmax(-1)]
    assert shares.sum(-1) == pytest.approx(1.0, abs=1e-5)


def test_every_file_says_what_it_is(folder: Path) -> None:
    for name in ("segment-1.onnx", "segment-3.onnx", "head.onnx"):
        said = read_metadata(folder / name)
        assert said["classes"] == NAMES
        assert (said["mean"], said["std"], said["size"]) == ([0.4], [0.3], [2, 2])
        assert (said["source"], said["version"]) == ("runs/cats", ac.__version__)


def test_no_weight_is_stored_twice(folder: Path) -> None:
    import onnx

    stored = sum(
        len(tensor.raw_data) // 4
        for file in folder.glob("*.onnx")
        for tensor in onnx.load(file).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    wanted = sum(p.numel() for p in pictured().parameters())
    assert 0.9 * wanted < stored < 1.1 * wanted  # equal biases are one; constants are added


_ALONE = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "autocompress", "PIL", "scipy"):
            raise ImportError(f"{name} is refused here")

sys.meta_path.insert(0, Refused())
sys.path.insert(0, sys.argv[1])
import json, numpy, cascade
net = cascade.Cascade(sys.argv[1])
print(json.dumps(net.predict(numpy.load(sys.argv[2]))))
assert not {"torch", "autocompress"} & set(sys.modules)
"""


def test_it_runs_without_torch_and_without_this_library(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pictures.npy", rows(20))
    words = [sys.executable, "-I", "-c", _ALONE, str(folder), str(tmp_path / "pictures.npy")]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout) == json.loads(json.dumps(Cascade(folder).predict(rows(20))))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((1, 2, 2, 1)), "picture 0 is of float64; expected bytes"),
        (np.zeros((1, 3, 2, 1), np.uint8), r"shape \(3, 2, 1\); expected \(2, 2, 1\)"),
        (np.zeros((0, 2, 2, 1), np.uint8), "no picture"),
        (["a text"], "expected bytes"),
        ([np.zeros((4, 4), np.uint8)], r"picture 0 has shape \(4, 4, 1\)"),
    ],
)
def test_what_is_no_picture_gets_one_line(folder: Path, given: Any, words: str) -> None:
    with pytest.raises(CascadeError, match=words) as error:
        Cascade(folder).predict(given)
    assert "\n" not in str(error.value)


def test_the_rest_of_a_batch_is_answered(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = rows(2)
    said = Cascade(folder).predict([first, np.zeros((4, 4), np.uint8), second])
    assert [said[0], said[2]] == Cascade(folder).predict([first, second])
    assert "picture 1 has shape (4, 4, 1)" in said[1]["error"]
    np.save(tmp_path / "good.npy", rows(2))
    (tmp_path / "bad.npy").write_bytes(b"nothing")
    words = {True: str(tmp_path / "good.npy"), False: str(tmp_path / "bad.npy")}
    for given, status, answered in (((True, False), 1, 2), ((False,), 2, 0), ((True,), 0, 2)):
        named = [words[good] for good in given]
        assert program([*named, "--folder", str(folder)]) == status
        out = capsys.readouterr()
        assert len(out.out.splitlines()) == answered
        assert [line.partition(": it is ")[0] for line in out.err.splitlines()] == [
            f"cascade: error: {words[False]}" for good in given if not good
        ]
    assert program(["a", "--folder", str(tmp_path)]) == 2


def test_a_file_gets_one_line_whatever_is_wrong_with_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "large.npy", np.zeros((60, 3, 2, 1), np.uint8))
    np.savez(tmp_path / "several.npy.npz", rows(2))
    (tmp_path / "empty.npy").touch()
    for name, said in {
        "large.npy": "has shape (3, 2, 1); expected (2, 2, 1) (height, width, channels): resize it "
        "first (none of its 60 has an answer)",
        "nowhere.npy": ": No such file or directory",
        "several.npy.npz": ": it is not a .npy file, as numpy.save writes it",
        "empty.npy": ": it is not a .npy file, as numpy.save writes it",
        ".": ": Is a directory",
    }.items():
        assert program([str(tmp_path / name), "--folder", str(folder)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"cascade: error: {tmp_path / name}: ")
        assert line.endswith(said)


def test_a_graph_of_another_export_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in filter(Path.is_file, folder.iterdir()):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    said = json.loads((tmp_path / "export.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps({**said, "export": "another"}))
    with pytest.raises(CascadeError, match=r"segment-1\.onnx belongs to another export"):
        Cascade(tmp_path)
    (tmp_path / "head.onnx").write_bytes(b"no graph")
    (tmp_path / "export.json").write_text(json.dumps(said))
    with pytest.raises(CascadeError, match=r"head\.onnx cannot be opened"):
        Cascade(tmp_path)
    with pytest.raises(CascadeError, match="expected a folder of acn export"):
        Cascade(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("model", "connectivity"),
    slow_but(
        [
            ("mlp", "hyper"),
            ("branched", "acn"),
            ("vit", "denseformer"),
            ("mixer", "input-fed"),
            ("vit-post", "learned"),
        ],
        [("mlp", "hyper")],
    ),
)
def test_any_rule_is_cut_into_segments(model: str, connectivity: str, tmp_path: Path) -> None:
    net = make(model, connectivity)
    done = ac.export(net, tmp_path / "net", depths=[0, 3], formats=["pt2"])
    assert isinstance(done, ac.Exported)
    assert done.max_abs_difference < 1e-6
    found = dict(Cascade(tmp_path / "net", PT2).readouts({"images": images(7).numpy()}))
    with torch.no_grad():
        for depth in (0, 3):
            expected = net(images(7), depth)
            torch.testing.assert_close(torch.from_numpy(found[depth]), expected)


def alter(folder: Path, **values: Any) -> None:
    """Change export.json as whoever offers a folder for download may."""
    said = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**said, **values}))


def altered(value: Any, key: str, other: Any) -> Any:
    """Return ``value`` with every entry ``key`` in it changed."""
    if isinstance(value, list):
        return [altered(one, key, other) for one in value]
    if not isinstance(value, dict):
        return value
    return {k: other if k == key else altered(v, key, other) for k, v in value.items()}


@pytest.mark.parametrize("name", ["../tokenizer.json", "/etc/hostname", "a/b", ""])
def test_no_file_outside_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    ac.export(spoken(), tmp_path / "net", formats=["pt2"])
    good = json.loads((tmp_path / "net" / "export.json").read_text())
    alter(tmp_path / "net", tokenizer=name or "..//")
    with pytest.raises(CascadeError, match="names files that are not beside it"):
        Cascade(tmp_path / "net", PT2)
    alter(tmp_path / "net", **{**good, "segments": altered(good["segments"], "file", name)})
    with pytest.raises(CascadeError, match="names files that are not beside it"):
        Cascade(tmp_path / "net", PT2)


def test_a_damaged_description_is_refused_in_one_line(tmp_path: Path) -> None:
    ac.export(spoken(), tmp_path / "net", formats=["pt2"])
    path = tmp_path / "net" / "export.json"
    good = json.loads(path.read_text())
    wrong: list[Any] = [[1], {**good, "schema": 2}, {**good, "segments": []}]
    unread = {"differences", "library", "metric", "scores", "source", "task", "version", "pairs"}
    unread |= {"export", "tokenizer_sha256"}  # of other runtimes, and read with the tokenizer
    wrong += [{k: v for k, v in good.items() if k != key} for key in {*good} - unread]
    for key, value in {"length": 10**12, "multiple": 0, "pad": "x", "classes": None}.items():
        wrong.append({**good, key: value})
    wrong.append({**good, "segments": altered(good["segments"], "depth", "x")})
    for row in ({"threshold": 0.1}, {"depth": 1, "threshold": 0.1, "temperature": 0}):
        wrong.append({**good, "exits": {"criterion": "entropy", "exits": [row]}})
    for said in [json.dumps(one) for one in wrong] + ["[" * 100_000, "{"]:
        path.write_text(said)
        with pytest.raises(CascadeError, match=r"export\.json cannot be used: ") as caught:
            Cascade(tmp_path / "net", PT2)
        assert "\n" not in str(caught.value)
    path.write_text(json.dumps({**good, "classes": ["one"]}))
    with pytest.raises(CascadeError, match="1 class names for 3 outputs"):
        Cascade(tmp_path / "net", PT2).predict("fine")
    path.write_bytes(b" " * (2**26 + 1))
    with pytest.raises(CascadeError, match="more than 64 MiB"):
        Cascade(tmp_path / "net", PT2)


def test_overwriting_keeps_what_no_export_wrote(tmp_path: Path) -> None:
    net, folder = pictured(), tmp_path / "net"
    for _ in range(2):
        ac.export(net, folder, formats=["pt2"], overwrite=True)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds thesis\.txt, which is not part of an export"):
        ac.export(net, folder, formats=["pt2"], overwrite=True)
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert Cascade(folder, PT2).depths == [3]


def spoken() -> ac.Network:
    torch.manual_seed(1)
    sizes = {"depth": 1, "width": 8, "heads": 2, "length": 16, "classes": 3}
    texts = ["a fine film", "a dull film", "fine and long and dull"]
    tokenizer = train_tokenizer([texts], vocabulary=60).for_task("text-classification", 16)
    net = ac.models.Encoder(vocabulary=tokenizer.size, **sizes)
    net.tokenizer, net.task, net.class_names = tokenizer.text, "text-classification", NAMES
    return net.eval()


def test_texts_of_any_length_with_their_mask(tmp_path: Path) -> None:
    net = spoken()
    ac.export(net, tmp_path / "net", formats=["pt2"])
    cascade = Cascade(tmp_path / "net", PT2)
    assert cascade.manifest["open_length"]
    texts = ["fine", "a dull and long and long and dull film", "a film"]
    for mine, theirs in zip(cascade.predict(texts), ac.Predictor(net)(texts), strict=True):
        assert mine["label"] == theirs.label
        assert mine["probability"] == pytest.approx(theirs.probability, abs=1e-5)
    known = Tokenizer.from_file(str(tmp_path / "net" / "tokenizer.json"))
    known.add_special_tokens(["[PAD]"])  # as the tokenizers of transformers have it
    known.save(str(tmp_path / "net" / "tokenizer.json"))
    with pytest.raises(CascadeError, match="the tokenizer beside export.json belongs to another"):
        Cascade(tmp_path / "net", PT2).predict(["fine"])
    data = (tmp_path / "net" / "tokenizer.json").read_bytes()
    alter(tmp_path / "net", tokenizer_sha256=hashlib.sha256(data).hexdigest())
    cascade = Cascade(tmp_path / "net", PT2)
    said = cascade.predict(["fine", 3, "", ("a", "film"), "a [PAD] film", "fi\udc80ne", "dull"])
    assert [said[0], said[6]] == cascade.predict(["fine", "dull"])
    assert [one.get("error") for one in said[1:6]] == [
        "text 1 is a value of type int; this network takes texts",
        "text 2 has no word in it",
        "text 3 is 2 texts; this network takes texts",
        "text 4 holds the padding token as a word: take it out",
        "text 5 is not Unicode text: it holds half a character",
    ]
    with pytest.raises(CascadeError, match="text 0 has no word"):
        cascade.predict([" ", ""])


def test_the_program_reads_files_of_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of such a file is no text: it would get an answer of its own."""
    ac.export(spoken(), tmp_path / "net", formats=["pt2"])
    loaded = partial(Cascade, load=PT2)
    monkeypatch.setattr("autocompress.deploy.cascade.Cascade", loaded)
    (tmp_path / "some.txt").write_text("a fine film\n\ndull\n", encoding="utf-8-sig")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    names = [str(tmp_path / f"{name}.txt") for name in ("some", "empty", "bytes", "nowhere")]
    assert program([*names, "fine", "", "--folder", str(tmp_path / "net")]) == 1
    out, err = capsys.readouterr()
    expected = loaded(tmp_path / "net").predict(["a fine film", "dull", "fine"])
    shares = [answer["probability"] for answer in map(json.loads, out.splitlines())]
    assert shares == pytest.approx([answer["probability"] for answer in expected], abs=1e-6)
    assert err.splitlines() == [
        f"cascade: error: {names[1]}: no text is given",
        f"cascade: error: {names[2]}: it is not text in UTF-8",
        f"cascade: error: {names[3]}: No such file or directory",
        "cascade: error: : text 0 has no word in it",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["encoder", "bert", "timm"])
def test_networks_of_every_kind_in_onnx(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    if kind == "encoder":
        net = spoken()
    elif kind == "timm":
        timm = pytest.importorskip("timm")
        host = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=4)
        net = ac.convert(host, "acn").eval()
    else:
        transformers = pytest.importorskip("transformers")
        sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
        config = transformers.BertConfig(
            vocab_size=30, num_hidden_layers=2, max_position_embeddings=24, num_labels=3, **sizes
        )
        net = ac.convert(transformers.BertForSequenceClassification(config), "acn").eval()
    capfd.readouterr()
    done = ac.export(net, tmp_path / "net", depths=[0, net.depth])
    assert isinstance(done, ac.Exported)
    assert done.checks.differences["onnxruntime"] < 1e-4
    assert "Evaluation failed" not in "".join(capfd.readouterr())


def test_a_graph_of_a_host_keeps_to_masks(tmp_path: Path) -> None:
    """transformers leaves out a mask that hides nothing; a graph traced so would ignore others."""
    transformers = pytest.importorskip("transformers")
    config = transformers.DistilBertConfig(
        vocab_size=20, n_layers=1, dim=8, n_heads=2, hidden_dim=8, max_position_embeddings=8
    )
    host = transformers.DistilBertForSequenceClassification(config)
    net = ac.convert(host, "acn").eval()
    example = {"input_ids": torch.arange(12).view(2, 6)}
    example["attention_mask"] = torch.ones_like(example["input_ids"])
    done = ac.export(net, tmp_path / "net", example, depths=[0, 1], formats=["pt2"])
    assert done.checks.differences["pt2"] < 1e-5


def test_exits_that_fit_the_exported_depths() -> None:
    rule = ac.ExitRule.uniform("entropy", [1, 2, 4], 0.3)
    said = exits_at(rule, [2, 3])
    assert said is not None
    assert [(row["depth"], row["threshold"]) for row in said["exits"]] == [(2, 0.3), (3, None)]
    assert exits_at(None, [2, 3]) is None
    patient = ac.ExitRule.uniform("patience", [1, 2, 4], 1.0)
    with pytest.raises(ConfigError, match=r"depths \[1, 4\] are not exported"):
        exits_at(patient, [2, 3])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"depths": [5]}, DepthError, "5"),
        ({"depths": [3, 1]}, ConfigError, "must ascend"),
        ({"depths": []}, ConfigError, "name at least one"),
        ({"depths": [True]}, ConfigError, "not a whole number"),
        ({"formats": ["onxn"]}, UnknownNameError, "did you mean 'onnx'"),
        ({"formats": []}, ConfigError, "formats is empty"),
        ({"raw": True, "formats": ["pt2"]}, ConfigError, "set net.preprocess"),
    ],
)
def test_options_that_make_no_sense(
    options: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        ac.export(make("mlp", "acn"), tmp_path / "net", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_network_of_layers_or_is_there_already(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="convert it first"):
        ac.export(torch.nn.Linear(2, 2), tmp_path / "net", torch.zeros(1, 2))
    with pytest.raises(ConfigError, match="is one file: name a folder"):
        ac.export(make("mlp", "acn"), tmp_path / "net.onnx", depths=[2])
    with pytest.raises(ConfigError, match="answers for each token"):
        ac.export(make("decoder", "acn"), tmp_path / "net", formats=["pt2"])
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        ac.export(make("mlp", "acn"), tmp_path / "net", formats=["pt2"])


def test_what_dimensions_are() -> None:
    size = torch.Size
    assert roles_of("x", [size([2, 7]), size([3, 7]), size([2, 4])], [(2, 7), (3, 7), (2, 4)]) == (
        "batch",
        "length",
    )
    with pytest.raises(ExportError, match="neither the batch nor the length"):
        roles_of("x", [size([8]), size([12])], [(2, 0), (3, 0)])
