"""How a fleet's run is judged, and told to people."""

from dataclasses import replace

import pytest

from firmware_sim.fleet_ledger import Tally
from firmware_sim.fleet_meter import Usage
from firmware_sim.fleet_plan import Storm
from firmware_sim.fleet_told import ForPeople, Latency, Outage, Report

BACK = Outage(began=100.0, returned=20, half_s=2.0, all_s=14.5)
GOOD = Report(
    gateways=20,
    storm=Storm.HUB,
    tally=Tally(400, 400),
    start=Outage(0.0, 20, 0.5, 1.0),
    storm_outage=BACK,
    blobs=200,
    waiting=0,
    losses=20,
    faults=0,
    latency=Latency(53.0, 80.0, 200.0),
    late_max_s=0.1,
    drain_s=0.1,
    read_s=1.0,
    lasted_s=60.0,
    load=0.5,
    usage={"hub": Usage(70.0, 6.0), "broker": Usage(120.0, 3.0), "simulator": Usage(500.0, 12.0)},
)


@pytest.mark.parametrize(
    ("report", "holds", "meets_goals"),
    [
        (GOOD, True, True),
        (replace(GOOD, tally=Tally(400, 399, missing=1)), False, False),
        (replace(GOOD, waiting=1), False, False),
        (replace(GOOD, storm_outage=replace(BACK, returned=19, all_s=None)), False, False),
        (replace(GOOD, storm_outage=replace(BACK, all_s=60.5)), True, False),
        (replace(GOOD, usage={"hub": Usage(400.5, 6.0)}), True, False),
        (replace(GOOD, storm=Storm.NONE, storm_outage=None), True, None),
        (replace(GOOD, usage={}), True, None),
    ],
)
def test_a_run_holds_without_loss_and_meets_its_goals_in_time_and_memory(
    report: Report, holds: bool, meets_goals: bool | None
) -> None:
    """Promise 1 decides about success; slowness and size are told beside it."""
    assert (report.holds, report.meets_goals) == (holds, meets_goals)


@pytest.mark.parametrize(
    ("written_at", "receipted_at", "touches"),
    [(98.0, 99.9, False), (99.0, 100.5, True), (105.0, 106.0, True), (114.4, 115.0, True), (114.6, 114.7, False)],
)
def test_a_receipt_counts_as_slow_only_outside_the_outage(
    written_at: float, receipted_at: float, touches: bool
) -> None:
    assert BACK.touches(written_at, receipted_at) == touches


def test_people_read_the_balance_and_the_return_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    for report in (GOOD, replace(GOOD, tally=Tally(400, 399, missing=1), latency=None)):
        with ForPeople() as people:
            for step in ("registering", "starting", "connecting", "speaking", "storm", "draining", "reading"):
                people.step(step, 20)
                people.progress(10)
            people.restarted("hub")
        people.ended(report)
    told = capsys.readouterr().err
    for words in (
        "切断",
        "all cut",
        "すべて届きました",
        "合いません",
        "missing 1",
        "14.5 s",
        "p99 80 ms",
        "hub: 70 MiB",
    ):
        assert words in told
