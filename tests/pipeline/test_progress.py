"""Progress goes to stderr, with the loss, and leaves stdout to results."""

from __future__ import annotations

import pytest

from stages.progress import losses_on, progress_bar


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(2, "distill digits", "steps") as bar:
        bar.update(2)
        assert bar.format_dict["elapsed"] >= 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "distill digits" in shown.err
    assert "2/2" in shown.err


def test_a_step_shows_its_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(1, "distill digits", "steps") as bar:
        losses_on(bar)(0, 0.123456)
    assert "loss=0.1235" in capsys.readouterr().err


def test_where_another_process_shows_progress_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(1, "distill digits", "steps", shown=False) as bar:
        losses_on(bar)(0, 0.5)
    assert capsys.readouterr() == ("", "")
