"""Studies: jobs that are kept, resumed, retried and never mixed."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from autocompress.data import AugmentConfig
from autocompress.data.places import locate
from autocompress.errors import (
    AutoCompressError,
    CheckpointError,
    ConfigError,
    DepthError,
    DivergedError,
    InterruptedRunError,
    MissingExtraError,
    OutputError,
    UnknownNameError,
)
from autocompress.io.bits import pack_bits, unpack_bits
from autocompress.pipeline import RunConfig
from autocompress.statistics import paired
from autocompress.training import FitConfig
from autocompress_studies import (
    Arm,
    Job,
    Results,
    Statement,
    Study,
    StudyRun,
    Work,
    find_study,
    register_study,
    reproduce,
)
from autocompress_studies import study as studies
from autocompress_studies.record import write_results
from autocompress_studies.runner import process_workers, run_jobs, run_study
from autocompress_studies.study import faithful
from autocompress_studies.words import by_arm


@dataclass(frozen=True)
class ToySettings:
    step: float = 1.0
    network: RunConfig = field(default_factory=RunConfig)


class Toy:
    """The second arm adds to what the first has found; the third is on its own."""

    ran: list[tuple[str, int]] = []  # noqa: RUF012
    fails: dict[tuple[str, int] | str, BaseException] = {}  # noqa: RUF012

    @classmethod
    def run(cls, settings: ToySettings, key: str, work: Work) -> dict[str, Any]:
        cls.ran.append((key, work.seed))
        if (key, work.seed) in cls.fails:
            raise cls.fails.pop((key, work.seed))
        before = work.before["first"]["value"] if "second" in key else 0.0
        return {"value": before + work.seed + settings.step}

    @staticmethod
    def statements(settings: ToySettings, results: Results[str]) -> list[Statement]:
        if "writes" in Toy.fails:
            raise Toy.fails["writes"]
        values = [results.column(key, "value") for key in ("second, added", "first")]
        return [Statement("more", paired(*values), unit="units")]


TOY: Study[ToySettings, str] = Study(
    name="toy",
    shows="that sums add up",
    presets={"smoke": ToySettings(), "cpu": ToySettings(step=2.0)},
    costs={"smoke": "nothing"},
    arms=lambda settings: [Arm("first"), Arm("second, added", after=("first",)), Arm("alone")],
    run=Toy.run,
    statements=Toy.statements,
    table=by_arm("arm", {"runs": lambda runs: str(len(runs))}),
    draw=lambda figure, settings, results: figure.subplots().plot(results.column("first", "value")),
)


@pytest.fixture
def toy() -> Iterator[type[Toy]]:
    register_study(TOY)
    Toy.ran.clear()
    Toy.fails.clear()
    yield Toy
    studies.forget_study("toy")


def quiet() -> Console:
    return Console(file=io.StringIO())


def study(folder: Path, **changes: Any) -> StudyRun:
    return replace(StudyRun("toy", "smoke", folder, seeds=(0, 1)), **changes)


def test_results_hold_all_that_was_found(toy: type[Toy], tmp_path: Path) -> None:
    run_study(study(tmp_path / "out"), console=quiet())
    record = write_results(study(tmp_path / "out"))
    assert record.results.column("second, added", "value") == [2.0, 4.0]
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["seeds"] == [0, 1]
    assert content["settings"]["network"]["fit"]["epochs"] == 20
    assert content["versions"]["torch"] == torch.__version__
    assert content["findings"][0]["value"] == 1.5
    assert {job["arm"] for job in content["jobs"]} == {"first", "second, added", "alone"}
    assert "undecided" in (tmp_path / "out" / "table.md").read_text()
    for name in ("figure.svg", "figure.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0


def test_a_study_that_is_stopped_while_it_writes_says_that_its_jobs_are_kept(
    toy: type[Toy], tmp_path: Path
) -> None:
    toy.fails["writes"] = KeyboardInterrupt()
    with pytest.raises(InterruptedRunError, match="finished jobs are kept, and the same command"):
        reproduce("toy", tmp_path / "out", preset="smoke", seeds=1)
    toy.ran.clear()
    toy.fails.clear()
    reproduce("toy", tmp_path / "out", preset="smoke", seeds=1)
    assert not toy.ran


def test_an_interrupted_study_goes_on_at_the_finished_jobs(toy: type[Toy], tmp_path: Path) -> None:
    toy.fails["alone", 0] = KeyboardInterrupt()
    with pytest.raises(InterruptedRunError, match="2 of 6 jobs finished"):
        run_study(study(tmp_path / "out"), console=quiet())
    toy.fails["alone", 0] = InterruptedRunError("stopped in epoch 3")  # Ctrl-C within a training
    with pytest.raises(InterruptedRunError, match="2 of 6 jobs finished"):
        run_study(study(tmp_path / "out"), console=quiet())
    toy.ran.clear()
    run_study(study(tmp_path / "out"), console=quiet())
    assert toy.ran == [("alone", 0), ("first", 1), ("second, added", 1), ("alone", 1)]
    toy.ran.clear()
    run_study(study(tmp_path / "out", seeds=(0, 1, 2)), console=quiet())  # more seeds join
    assert {seed for _, seed in toy.ran} == {2}


def test_studies_of_other_settings_are_not_mixed(toy: type[Toy], tmp_path: Path) -> None:
    run_study(study(tmp_path / "out"), console=quiet())
    with pytest.raises(ConfigError, match=r"preset: 'smoke' -> 'cpu'; settings.step: 1.0 -> 2.0"):
        run_study(study(tmp_path / "out", preset="cpu"), console=quiet())
    with pytest.raises(ConfigError, match="clip_norm"):
        run_study(study(tmp_path / "out", faithful=True), console=quiet())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not a study"):
        run_study(study(tmp_path / "full"), console=quiet())


def test_studies_of_other_versions_are_not_mixed(toy: type[Toy], tmp_path: Path) -> None:
    run_study(study(tmp_path / "out"), console=quiet())
    kept = tmp_path / "out" / "study.json"
    held = json.loads(kept.read_text())
    held["versions"]["torch"] = "1.0"
    kept.write_text(json.dumps(held))
    with pytest.raises(ConfigError, match=r"versions.torch: '1.0' -> "):
        run_study(study(tmp_path / "out"), console=quiet())


def test_a_job_of_another_study_is_refused(toy: type[Toy], tmp_path: Path) -> None:
    run_study(study(tmp_path / "out"), console=quiet())
    job = study(tmp_path / "out").jobs()[0]
    record = json.loads(job.path.read_text())
    job.path.write_text(json.dumps({**record, "study": "0" * 16}))
    with pytest.raises(CheckpointError, match="not mixed: remove it"):
        run_study(study(tmp_path / "out"), console=quiet())


def test_an_option_that_did_not_exist_yet_is_no_difference(toy: type[Toy], tmp_path: Path) -> None:
    held = study(tmp_path / "out").identity()
    held = json.loads(json.dumps(held))
    del held["settings"]["network"]["fit"]["layer_decay"]
    assert study(tmp_path / "out").differences(held) == []
    held["settings"]["network"]["fit"]["lr"] = 0.5
    assert study(tmp_path / "out").differences(held) == ["settings.network.fit.lr: 0.5 -> 0.001"]
    del held["settings"]["step"]  # on cpu it is not at its default
    changed = study(tmp_path / "out", preset="cpu").differences(held, ["settings"])
    assert "settings.step: nothing -> 2.0" in changed


def test_failures_are_tried_again_but_not_our_own_errors(toy: type[Toy], tmp_path: Path) -> None:
    toy.fails["first", 0] = OSError("no space")
    run_study(study(tmp_path / "out"), console=quiet())
    assert toy.ran.count(("first", 0)) == 2
    toy.fails["first", 2] = DivergedError("nan")
    with pytest.raises(DivergedError):
        run_study(study(tmp_path / "out", seeds=(2,)), console=quiet())
    assert toy.ran.count(("first", 2)) == 1


def test_a_job_that_fails_for_good_says_how(toy: type[Toy], tmp_path: Path) -> None:
    def submit(job: Job) -> Future[None]:
        future: Future[None] = Future()
        future.set_exception(MemoryError("out"))
        return future

    with pytest.raises(AutoCompressError, match="first, seed 0 failed 2 times.*MemoryError: out"):
        run_jobs(study(tmp_path / "out").jobs()[:1], submit, 1, 1, quiet())


def test_jobs_wait_for_those_that_they_need(toy: type[Toy], tmp_path: Path) -> None:
    """With room for all at once, a follower is submitted only when its leader is done."""
    running: dict[Job, Future[None]] = {}
    order: list[tuple[Any, int]] = []

    def submit(job: Job) -> Future[None]:
        for key in job.after:
            assert (key, job.seed) in order
        for other, future in running.items():  # what runs ends when the next one starts
            if not future.done():
                order.append((other.key, other.seed))
                future.set_result(None)
        running[job] = Future()
        if job.after and job.seed == 1:
            running[job].set_result(None)
        return running[job]

    jobs = study(tmp_path / "out").jobs()
    run_jobs([job for job in jobs if job.key != "alone"], submit, 9, 0, quiet())
    assert set(running) == {job for job in jobs if job.key != "alone"}


@pytest.mark.slow
def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    """The pool is broken, and all that was under way in it is done again in a new one."""
    import killed

    jobs: list[Any] = [killed.KilledOnce(tmp_path / name) for name in ("one", "two")]
    with process_workers(1) as (submit, width):
        run_jobs(jobs, submit, width, 1, quiet())
    assert [job.path.read_text() for job in jobs] == ["killed, done", "killed, done"]


def test_errors_come_home_from_otherprocess_workers() -> None:
    made = [
        UnknownNameError("claim", "dept", ["depth"]),
        DepthError(9, 3),
        MissingExtraError("ray", "ray", "--cluster ray"),
        DivergedError("nan"),
        OutputError("no space"),
    ]
    for error in made:
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == vars(error)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'depth'"):
        find_study("dept")
    with pytest.raises(UnknownNameError, match="preset of 'depth'"):
        _ = StudyRun("depth", "cup", Path("x")).settings


def test_hits_survive_their_packing() -> None:
    for shape in [(7,), (31, 4), (1, 1), (0, 3)]:
        hits = torch.rand(shape) < 0.5
        assert torch.equal(unpack_bits(json.loads(json.dumps(pack_bits(hits)))), hits)


def test_faithful_changes_what_the_authors_do_and_nothing_else() -> None:
    augment = AugmentConfig(crop_padding=4, flip=True, cutmix=0.5)
    run = RunConfig(augment=augment, control=FitConfig(epochs=3))
    changed = faithful(ToySettings(network=run)).network
    assert changed.fit.clip_norm == 1 / 65536
    assert changed.control is not None
    assert changed.control.clip_norm == 1 / 65536
    assert changed.augment == replace(augment, crops=2, flip=False)
    back = replace(changed, augment=augment, fit=run.fit, control=run.control)
    assert back == run


def test_data_are_found_where_they_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "imdb").mkdir()
    assert locate("uoft-cs/cifar10", [str(tmp_path)]) == str(tmp_path / "cifar10")
    assert locate("stanfordnlp/imdb", [str(tmp_path)]) == str(tmp_path / "imdb")
    assert locate("uoft-cs/cifar10", [str(tmp_path / "cifar10")]) == str(tmp_path / "cifar10")
    (tmp_path / "sst2").mkdir()  # one of a collection: glue
    assert locate("nyu-mll/glue:sst2", [str(tmp_path)]) == str(tmp_path / "sst2")
    assert locate("nyu-mll/glue:rte", [str(tmp_path)]) == "nyu-mll/glue:rte"
    assert locate("nyu-mll/glue:rte", ["rte=mine.parquet"]) == "mine.parquet"
    assert locate("digits", [str(tmp_path)]) == "digits"
    assert locate("uoft-cs/cifar10", ["digits"]) == "digits"
    with pytest.raises(ConfigError, match="cifar10=PLACE"):
        locate("uoft-cs/cifar10", ["digits", "mine.parquet"])
