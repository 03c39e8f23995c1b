"""Numbers and texts as people read them."""


def format_count(number: float, unit: str = "") -> str:
    """Return a number in three digits and its unit prefix, such as ``12.3 M``."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.3g} {unit}".rstrip()


def format_bytes(number: float) -> str:
    """Return a size such as ``1.5 GiB``."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:.1f} {unit}"
    return f"{number:.0f} B"


def format_seconds(seconds: float) -> str:
    """Return a time such as ``4 ms``, ``0.35 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if 0 < seconds < 0.00995:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_text(text: str) -> str:
    """Return what a file or a server says without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
