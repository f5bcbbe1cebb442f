"""What the demo tells a person: how far the start is, where to look, what can be seen. Japanese and English."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from rich.console import Console

from firmware_sim.ledger import Balance
from firmware_sim.plan import PULSE_WINDOW_S, Layout, TownLayout
from firmware_sim.sources import AgentStatus

_STEPS: Mapping[str, str] = MappingProxyType(
    {
        "credential": "ゲートウェイをハブに登録します / registering the gateway with the hub",
        "starting": "ハブ・町・ゲートウェイを起動します / starting hub, town and gateway",
        "consents": "住民の同意を設定します / setting the residents' consents",
        "settling": "町を静かにし、残りの送信を待ちます / hushing the town, waiting for what is still on its way",
        "stopping": "すべて終了します / stopping everything",
    }
)
"""Step of a run -> what is told of it."""

_SIGHTS = f"""\
  木屋川の水位計と気象計 (Modbus)。約25秒で水位が基準を超え、ゲートウェイが知らせます
    A river level and weather station; within about 25 s it passes its stages and the gateway raises an alert
  心拍センサー4台 (BLE)。同意した分だけが届きます。strap-1 は安静時の心拍が高いままです
    Four heart-rate straps: only what was agreed to arrives; the pulse of strap-1 stays high at rest
    (デモの判定時間は{PULSE_WINDOW_S}秒です / the demo's pulse rule looks at {PULSE_WINDOW_S} s only)
  海岸沿いを走るバス (NMEA)
    A bus on the map, along the coast"""


class Narrator(Protocol):
    """Who hears of a run while it goes on."""

    def step(self, name: str) -> None:
        """A step begins."""
        ...

    def restarted(self, child: str) -> None:
        """A child died and was started again."""
        ...

    def ready(self, address: str, layout: Layout, for_s: float | None) -> None:
        """Everything answers."""
        ...

    def live(self, town: TownLayout, status: AgentStatus | None, alerts: int | None) -> None:
        """How things stand; `status` None while the agent does not answer, `alerts` None while the hub does not."""
        ...


class ForPeople:
    """Tells on stderr; the live line only on a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.status("") if self._console.is_terminal else None
        self._emitted = LineCount()

    def step(self, name: str) -> None:
        """One line a step."""
        if self._live is not None:
            self._live.stop()
        self._console.print(f"[bold]・[/bold] {_STEPS[name]}")

    def restarted(self, child: str) -> None:
        """One line."""
        self._console.print(f"[yellow]![/yellow] {child}: 停止したため再起動しました / died and was started again")

    def ready(self, address: str, layout: Layout, for_s: float | None) -> None:
        """The page's address first."""
        end = "Ctrl-C で終了 / Ctrl-C ends it" if for_s is None else f"{for_s:.0f} 秒で終了 / ends after {for_s:.0f} s"
        self._console.print(f"\n[bold green]ページ / Page:[/bold green] [bold]{address}[/bold]   ({end})\n{_SIGHTS}")
        self._console.print(f"  記録 / Logs: {layout.logs}\n")
        if self._live is not None:
            self._live.start()

    def live(self, town: TownLayout, status: AgentStatus | None, alerts: int | None) -> None:
        """One line that is written over."""
        if self._live is None:
            return
        waiting, withheld = (
            ("?", "?") if status is None else (status.outbox.alert + status.outbox.data, status.withheld)
        )
        counts = {
            "発信 emitted": self._emitted.of(town.emitted),
            "送信待ち waiting": waiting,
            "留め置き withheld": withheld,
            "警報 alerts": "?" if alerts is None else alerts,
        }
        self._live.update("   ".join(f"{name} {count}" for name, count in counts.items()))

    def balanced(self, result: Balance) -> None:
        """The balance in words and one line of numbers."""
        verdict = (
            "[green]すべて説明できます / everything is accounted for[/green]"
            if result.holds
            else "[red]合いません / the balance does not hold[/red]"
        )
        self._console.print(
            f"\n発信 emitted {result.emitted} = 保存 stored {result.stored} + 集計 aggregated {result.aggregated}"
            f" + 留め置き withheld {result.withheld} + 欠測 in gaps {result.in_gaps} + 不明 missing {result.missing}"
            f"\n重複 duplicated {result.duplicated}   警報 alerts {result.alerts}   {verdict}"
        )


class ForMachines:
    """Plain lines on stderr, so that stdout holds the JSON object alone."""

    def step(self, name: str) -> None:
        """One line a step."""
        say(name)

    def restarted(self, child: str) -> None:
        """One line."""
        say(f"{child} died and was started again")

    def ready(self, address: str, layout: Layout, for_s: float | None) -> None:
        """Address and state folder."""
        end = "until a signal" if for_s is None else f"for {for_s:g} s"
        say(f"ready: {address} {end}, state in {layout.root}")

    def live(self, town: TownLayout, status: AgentStatus | None, alerts: int | None) -> None:
        """Nothing: a machine waits for the end."""


class LineCount:
    """How many lines a growing file has, without reading any part twice."""

    def __init__(self) -> None:
        self._count = 0
        self._offset = 0

    def of(self, path: Path) -> int:
        """Lines so far; 0 while the file is absent."""
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read()
            self._count += fresh.count(b"\n")
            self._offset += len(fresh)
        return self._count


def say(text: str) -> None:
    """One line of the command's own, on stderr."""
    print(f"kanmon-sim: {text}", file=sys.stderr, flush=True)  # noqa: T201  the command's own words
