"""F5: figures as people read them: three digits and the unit that fits."""

from __future__ import annotations


def span(time_us: float | None) -> str:
    """A time given in microseconds: `4.21 µs`, `350 µs`, `1.27 ms`, `2.5 s`."""
    if time_us is None:
        return "–"
    if time_us < 999.5:
        return f"{digits(time_us)} µs"
    if time_us < 999_500:
        return f"{digits(time_us / 1e3)} ms"
    return f"{digits(time_us / 1e6)} s"


def digits(value: float) -> str:
    """Three digits, never an exponent."""
    if abs(value) >= 99.95 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def rate(per_s: float) -> str:
    return f"{digits(per_s)}/s"


def percent(share: float) -> str:
    """`0.0013%` keeps its digits; nothing is `0%`."""
    if not share:
        return "0%"
    return f"{share * 100:.2g}%" if share < 0.1 else f"{share * 100:.3g}%"


def usd(amount: float) -> str:
    return f"${amount:,.4f}" if amount >= 0.01 or not amount else f"${amount:.3g}"
