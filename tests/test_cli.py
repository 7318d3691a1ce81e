"""The `patchgrow` command: tables on stdout, a user's error as one line and exit code 1."""

import subprocess
import sys

import pytest

from monai_patchgrow import cli

PLAN = ["plan", "--patch_size", "40,56,40", "--total_stride", "8,8,8", "--batch_size", "9"]


def fault(*arguments):
    """The line that the command exits with; as a string, the interpreter prints it and ends with status 1."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    assert isinstance(caught.value.code, str)
    assert len(caught.value.code.splitlines()) == 1
    return caught.value.code


def test_plan_prints_the_stages(capsys):
    cli.main([*PLAN, "--curriculum", "performance"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "performance: full patch 40x56x40, total stride 8x8x8, batch size 9, 1000 epochs"
    assert lines[2].split()[:4] == ["1", "8x8x8", "1575", "1-66"]
    assert lines[16].split()[:4] == ["15", "40x56x40", "9", "925-1000"]


def test_plan_is_efficient_by_default(capsys):
    cli.main(PLAN)
    assert capsys.readouterr().out.startswith("efficiency: ")


def test_plan_takes_an_axis_order(capsys):
    cli.main([*PLAN, "--axis_order", "2,1,0", "--max_epochs", "30"])
    assert capsys.readouterr().out.splitlines()[3].split()[1] == "8x8x16"


def test_plan_of_one_axis(capsys):
    cli.main(["plan", "--patch_size", "24", "--total_stride", "8", "--batch_size", "2", "--max_epochs", "3"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[2:5]] == ["8", "16", "24"]


def test_command_does_not_wait_for_torch():
    code = "import sys, monai_patchgrow.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_illegal_patch_size_is_one_line_on_stderr_and_exit_code_1():
    command = [sys.executable, "-m", "monai_patchgrow.cli", *PLAN, "--patch_size", "40,50,40"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == (
        "error: patch_size must be a multiple of total_stride on every axis, got 50 on axis 1 (stride 8): "
        "nearest are 48 and 56\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--patch_size", "40,56"],
            "total_stride must have as many axes as patch_size, got 3 (8, 8, 8) for 2 (40, 56)",
        ),
        (["--patch_size", "big"], "patch_size on axis 0 must be an integer of at least 1, got 'big'"),
        (["--batch_size", "0"], "batch_size must be an integer of at least 1, got 0"),
        (["--max_epochs", "1.5"], "max_epochs must be an integer of at least 1, got 1.5"),
        (
            ["--smallest_patch", "48,56,40"],
            "smallest_patch must not be larger than patch_size on any axis, got 48 on axis 0 (patch_size 40)",
        ),
    ],
)
def test_bad_plan_is_refused(arguments, message):
    assert fault(*PLAN, *arguments) == f"error: {message}"


def test_unknown_curriculum_names_the_known_ones():
    assert fault(*PLAN, "--curriculum", "fast") == (
        "error: curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random, got 'fast'"
    )


def test_phantom_is_written_and_verified(tmp_path, capsys):
    cli.main(["phantom", str(tmp_path / "task"), "--num_cases", "2"])
    cli.main(["verify_data", str(tmp_path / "task")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(tmp_path / "task"), "Phantom: 2 cases, no problems found"]


def test_verify_data_names_the_fault(tmp_path):
    assert fault("verify_data", str(tmp_path / "absent")) == f"error: {tmp_path}/absent: no such folder"


def test_phantom_of_no_case_is_refused(tmp_path):
    message = "error: num_cases must be 1 or more and seed 0 or more, got 0 and 0"
    assert fault("phantom", str(tmp_path / "task"), "--num_cases", "0") == message
    assert list(tmp_path.iterdir()) == []


def test_quickstart_refuses_an_unknown_curriculum_before_it_writes(tmp_path):
    assert "curriculum must be one of" in fault(
        "quickstart", "bundle", "--curriculum", "fast", "--output_dir", str(tmp_path / "out")
    )
    assert list(tmp_path.iterdir()) == []


def test_quickstart_refuses_unsound_data_before_it_writes(tmp_path):
    line = fault("quickstart", "bundle", "--data", str(tmp_path / "absent"), "--output_dir", str(tmp_path / "out"))
    assert line == f"error: {tmp_path}/absent: no such folder"
    assert list(tmp_path.iterdir()) == []
