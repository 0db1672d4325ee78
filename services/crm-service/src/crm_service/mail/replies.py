"""Cut a reply from the mail that it quotes, as Gmail, Apple Mail, Outlook, QQ and 163 write it in several languages."""

import re
from typing import Final

_NAMES: Final = "From|Von|De|发件人|寄件者|寄件人|差出人"
_TIMES: Final = "Sent|Date|Gesendet|Datum|Envoyé|发送时间|发送日期|日期|寄件日期|傳送時間|送信日時"
_TITLES: Final = (
    "Original(?: Message| Appointment)?|Forwarded [Mm]essage|原始邮件|原始郵件|回复的原邮件|转发邮件信息|原邮件|"
    "Ursprüngliche Nachricht|Message d'origine"
)
ATTRIBUTION: Final = re.compile(
    r"^[> \t]*(?:"
    r"On\b[^\n]{5,300}(?:\n[^\n]{0,300}){0,2}?\bwrote\s*[:\uff1a]"
    r"|At \d{4}-[^\n]{5,300}\bwrote\s*[:\uff1a]"
    r"|Am\b[^\n]{5,300}(?:\n[^\n]{0,300})??\bschrieb\b[^\n]{0,200}[:\uff1a]"
    r"|Le\b[^\n]{5,300}(?:\n[^\n]{0,300})??\ba écrit\s*[:\uff1a]"
    r"|在[^\n]{3,300}(?:\n[^\n]{0,300})??(?:写道|寫道)\s*[:\uff1a]"
    r"|[^\n]{0,200}\d{4}\s*年[^\n]{3,200}(?:\n[^\n]{0,200})??(?:写道|寫道)\s*[:\uff1a]"
    r")[ \t]*$",
    re.MULTILINE,
)
"""The line before a quote. What it quotes may have marks (`>`), and an answer may follow the marks."""
SEPARATOR: Final = re.compile(
    rf"^[> \t]*(?:-{{2,}}\s*(?:{_TITLES})\s*-{{2,}}|_{{20,}}"
    rf"|\*{{0,2}}(?:{_NAMES})\*{{0,2}}\s*[:\uff1a][^\n]{{1,300}}\n(?:[^\n]{{0,300}}\n){{0,2}}?"
    rf"\*{{0,2}}(?:{_TIMES})\*{{0,2}}\s*[:\uff1a][^\n]*)[ \t]*$",
    re.MULTILINE,
)
"""What stands before a quote without marks. All after it is quoted."""


def cut(text: str) -> str:
    """Return a reply without the mail that it quotes, or the whole text if nothing else would be left.

    Answers below a quote are kept without it. Answers between the lines of a quote are kept with the quote, because
    they cannot be understood without it.
    """
    text = text.strip()
    if (found := SEPARATOR.search(text)) is not None and text[: found.start()].strip():
        text = text[: found.start()].strip()
    if (found := ATTRIBUTION.search(text)) is not None:
        before, after = text[: found.start()].rstrip("> \t\n"), text[found.end() :]
        own = _own(after)
        if not own or not _has_marks(after):
            return before or _own(text) or text
        return text if before or _is_between(after) else own
    return _own(text) if text.split("\n")[-1].startswith(">") and _own(text) else text


def _has_marks(text: str) -> bool:
    return any(line.lstrip().startswith(">") for line in text.split("\n"))


def _own(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(">")).strip()


def _is_between(text: str) -> bool:
    """Return whether a line of its own stands before the last quoted one."""
    lines = [line.lstrip() for line in text.split("\n") if line.strip()]
    last = max((place for place, line in enumerate(lines) if line.startswith(">")), default=0)
    return any(not line.startswith(">") for line in lines[:last])
