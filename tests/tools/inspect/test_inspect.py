"""Our own bundles hold nothing to find; a finding is one line; a bundle is run if there is none, or each is named."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from monai_patchgrow import cli
from monai_patchgrow.tools.inspect import inspect_bundle
from monai_patchgrow.tools.inspect.run import RunWords, inspect_run
from monai_patchgrow.tools.inspect.vocabulary import known_vocabulary
from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle, write_bundle
from monai_patchgrow.tools.render.bundle_scripts import bundle_scripts
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

ROOT = Path(__file__).parents[3]
BUNDLES = sorted((ROOT / "bundles").glob("*_patch*"))
PLANS = ("ACDC", "BONBID_HIE", "Task04_Hippocampus", "Task05_Prostate", "Task09_Spleen")


def exit_of(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    return caught.value.code


# ---- our own bundles ----


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_of_ours_holds_nothing_to_find(bundle, tmp_path):
    copied = shutil.copytree(bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    report = inspect_bundle(copied)
    assert str(report).startswith(f"{copied}: no findings in ")
    assert report.counts["configs"] >= 6


def test_there_are_thirteen():
    assert len(BUNDLES) == 13


@pytest.mark.parametrize("name", PLANS)
def test_a_bundle_of_a_plan_holds_nothing_to_find(reference, tmp_path, name):
    path = reference / "nnunet_plans" / f"{name}.json"
    plans = json.loads(path.read_text())
    channels = {str(n): f"c{n}" for n in range(len(plans["foreground_intensity_properties_per_channel"]))}
    dataset = tmp_path / "dataset.json"
    dataset.write_text(json.dumps({"channel_names": channels, "labels": {"background": 0, "lesion": 1}}))
    rendered = 0
    for configuration in ("2d", "3d_lowres", "3d_fullres"):
        if "architecture" not in plans["configurations"].get(configuration, {}) and configuration == "3d_lowres":
            continue
        plan = read_nnunet_plan(path, dataset, configuration=configuration)
        bundle = write_bundle(render_bundle(plan, BundleCard.of(plan)), tmp_path / configuration)
        assert inspect_bundle(bundle).findings == ()
        rendered += 1
    assert rendered >= 2


@pytest.mark.parametrize("top", ["", "hippocampus_segmentation_patchgrow/"])
def test_a_zip_is_read_where_it_lies(tmp_path, top):
    bundle = ROOT / "bundles" / "hippocampus_segmentation_patchgrow"
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in bundle.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            archive.write(path, f"{top}{path.relative_to(bundle).as_posix()}")
    assert inspect_bundle(tmp_path / "bundle.zip").findings == ()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


def test_a_zip_hides_nothing(small_bundle, tmp_path):
    small_bundle.write("scripts/evil.py", "import os")
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for path in sorted(path for path in small_bundle.folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(small_bundle.folder).as_posix())
        archive.writestr("../out", "")
    lines = [str(finding) for finding in inspect_bundle(tmp_path / "bundle.zip").findings]
    assert lines == ["bundle.zip: ../out: leads out of the folder", "scripts/evil.py: is code, and none of ours"]


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, "changed") for name in list(bundle_scripts())[::12]] + [("scripts/predict.py", "moved")],
)
def test_a_script_of_ours_is_known_by_content_and_place(small_bundle, name, change):
    text = bundle_scripts()[name]
    small_bundle.write(name, text)
    assert small_bundle.lines() == []
    small_bundle.write(*((name, f"{text}\n") if change == "changed" else ("predict.py", text)))
    (finding,) = small_bundle.findings()
    assert "script" in finding.why or "code" in finding.why


def test_our_own_words_are_harmless():
    """What templates say is known: so they may not say what any config could harm by."""
    vocabulary = known_vocabulary()
    harmful = {"system", "exec", "eval", "load", "f_locals", "frame", "format", "import_module", "popen", "open"}
    assert vocabulary.attributes & harmful == set()
    assert [name for name in vocabulary.attributes if name.startswith("_")] == []
    assert {name.partition(".")[0] for name in vocabulary.names} <= {
        "ignite",
        "monai",
        "monai_patchgrow",
        "os",
        "re",
        "torch",
    }
    assert [name for name in vocabulary.names if name.startswith("os.") and name != "os.path.basename"] == []
    assert [name for name in vocabulary.targets if name.startswith(("monai.bundle", "monai.utils", "builtins"))] == []
    assert len(vocabulary.verbatim) > 10


# ---- the command ----


def test_the_command_prints_the_verdict(small_bundle, capsys):
    cli.main(["inspect", str(small_bundle.folder)])
    assert capsys.readouterr().out == f"{small_bundle.folder}: no findings in 3 files (2 configs, 1 others)\n"


def test_the_command_prints_a_line_per_finding(small_bundle, capsys):
    small_bundle.change({"x": {"_target_": "os.system"}, "y": "$exit()"})
    assert exit_of("inspect", small_bundle.folder) == 1
    assert capsys.readouterr().out.splitlines() == [
        "configs/inference.json: x#_target_: os.system: is no known component",
        "configs/inference.json: y: $exit(): names exit",
        f"{small_bundle.folder}: 2 findings in 3 files (2 configs, 1 others)",
    ]
    assert exit_of("inspect", small_bundle.folder, "--allow", "os.system") == 1
    assert "os.system" not in capsys.readouterr().out


def test_the_command_prints_json(small_bundle, capsys):
    small_bundle.change({"x": {"_target_": "os.system"}})
    assert exit_of("inspect", small_bundle.folder, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    found = {"file": "configs/inference.json", "key": "x#_target_", "what": "os.system", "why": "is no known component"}
    assert report["findings"] == [found]


def test_a_name_does_not_write_on_the_terminal(small_bundle):
    small_bundle.change({"x\n\x1b[2J": "$exit()"})
    (line,) = small_bundle.lines()
    assert line.isprintable()


@pytest.mark.parametrize("name", ["", "absent", "file"])
def test_what_is_no_bundle_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    assert exit_of("inspect", tmp_path / name).startswith("error: ")


def test_the_command_waits_for_neither_torch_nor_monai(small_bundle):
    code = "import sys, monai_patchgrow.cli as cli; cli.main(); sys.exit(bool({'torch', 'monai'} & {*sys.modules}))"
    command = [sys.executable, "-c", code, "inspect", str(small_bundle.folder)]
    assert subprocess.run(command, capture_output=True).returncode == 0


# ---- run ----


@pytest.fixture
def started(monkeypatch):
    """The words of the processes that the command becomes."""
    words = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: words.append(arguments))
    return words


def test_a_bundle_with_nothing_to_find_is_run(small_bundle, started):
    words = ["--config_file", f"{small_bundle.folder}/configs/inference.json", "--sizes", "[1, 2]", "--x=$1"]
    cli.main(["run", str(small_bundle.folder), *words])
    assert started == [[sys.executable, "-B", "-m", "monai.bundle", "run", *words]]


def test_a_finding_is_not_run_unless_it_is_named(small_bundle, started, capsys):
    small_bundle.change({"x": {"_target_": "os.system"}, "y": "$exit()"})
    folder, x, y = str(small_bundle.folder), "configs/inference.json:x#_target_", "configs/inference.json:y"
    assert exit_of("run", folder).startswith("error: the bundle is not run: ")
    assert "x#_target_: os.system" in capsys.readouterr().err
    assert exit_of("run", folder, "--trust", x) == exit_of("run", folder, "--allow=os")
    assert started == []
    cli.main(["run", folder, "--trust", f"{x},{y}", "a"])
    cli.main(["run", folder, "--allow=os", "b", "--trust", y])
    cli.main(["run", folder, "c", "--trust=configs/inference.json"])
    assert [words[-1] for words in started] == ["a", "b", "c"]


@pytest.mark.parametrize("form", ["{}", "['bundle/configs/inference.json','{}']", "%{}#x"])
def test_configs_beside_the_bundle_are_inspected(small_bundle, started, form):
    beside = small_bundle.folder.parent / "override.json"
    beside.write_text('{"x": "$exit()"}')
    assert "error" in exit_of("run", small_bundle.folder, "--config_file", form.format(beside))
    order = RunWords.parse([str(small_bundle.folder), "--config_file", form.format(beside)])
    assert [finding.file for finding in inspect_run(order).findings] == [str(beside)]


@pytest.mark.parametrize("words", [[], ["--config_file", "a.json"], ["bundle", "--trust"], ["bundle.zip"]])
def test_words_that_name_no_bundle(words):
    assert exit_of("run", *words).startswith("error: ")


def test_the_command_becomes_that_of_monai(small_bundle, tmp_path):
    stand_in = tmp_path / "monai" / "bundle"
    stand_in.mkdir(parents=True)
    for folder in (stand_in.parent, stand_in):
        (folder / "__init__.py").write_text("")
    (stand_in / "__main__.py").write_text("import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)")
    command = [sys.executable, "-m", "monai_patchgrow.cli", "run", str(small_bundle.folder), "--max_epochs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout.read() == f"{process.pid} ['run', '--max_epochs', '1']\n"
    assert process.returncode == 7
