from neuroadda.wording import format_bytes, format_count, format_seconds


def test_numbers_are_readable() -> None:
    assert [format_count(n) for n in (0, 7, 999, 999.7, 1500, 6_291_456, 999_950_000, 3.2e12)] == [
        "0", "7", "999", "1 k", "1.5 k", "6.29 M", "1 G", "3.2 T",
    ]  # fmt: skip
    assert [format_bytes(n) for n in (12, 2048, 3 * 2**29)] == ["12 B", "2.0 KiB", "1.5 GiB"]
    assert [format_seconds(s) for s in (0.345, 12, 59.97, 200, 7500)] == [
        "0.34 s", "12.0 s", "1 min 00 s", "3 min 20 s", "2 h 05 min",
    ]  # fmt: skip
    assert [format_seconds(s) for s in (0, 0.0004, 0.0042, 0.0099, 0.00996, 0.05)] == [
        "0.00 s", "0.4 ms", "4.2 ms", "9.9 ms", "0.01 s", "0.05 s",
    ]  # fmt: skip
