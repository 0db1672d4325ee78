from crossdock_cli.verify import Report, Violation
from crossdock_cli.verify.report import Findings


def test_all_is_well_in_one_line_and_trouble_is_bounded() -> None:
    assert str(Report({})) == "verify: 0 lost · 0 oversold · 0 duplicated · ledger = levels"
    lost, ledger = Violation(4, "lost", "committed events"), Violation(2, "ledger", "levels")
    found = Findings()
    found.extend(lost, (f"event {n}" for n in range(1000)))
    found.add(ledger, "SKU-1 at EAST")
    many = Report(found.by_check)
    lines = str(many).splitlines()
    assert lines[0] == "verify: 1000 lost · 0 oversold · 0 duplicated · ledger ≠ levels at 1"
    assert len(lines) < 20
    assert "    and 990 more" in lines
