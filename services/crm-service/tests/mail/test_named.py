"""The addresses in mails that cannot be read, however the mail hides them."""

import base64
import quopri
import time

import pytest

from crm_service.mail.named import addresses_in

ADA = "Ada.Lovelace+x_1@Example.com"
WANTED = "ada.lovelace+x_1@example.com"
WORD = base64.b64encode(f"Ada <{ADA}>".encode()).decode()
TEXT = (
    f"Dear desk,\nplease answer to {ADA}.\n" + 20 * "This is a longer line, so that the lines of base64 are broken.\n"
)


@pytest.mark.parametrize(
    "raw",
    [
        f"From: Ada <{ADA}>\n\nx".encode(),
        f"<a href='mailto:{ADA}?subject=x'>".encode(),
        f"reply-to={ADA}&x".encode(),
        f"From: =?utf-8?B?{WORD}?=\n\nx".encode(),
        f"From: =?utf-8?B?{WORD[:20]}?=\n =?utf-8?b?{WORD[20:]}?=\n\nx".encode(),
        f"From: =?iso-8859-1?Q?Ada_=3C{ADA.replace('_', '=5F').replace('@', '=40')}=3E?=\n\nx".encode(),
        b"From: ?\n\n" + quopri.encodestring(TEXT.replace("@", "=40", 0).encode(), quotetabs=True),
        b"From: ?\n\n" + ADA.replace("@", "=40").replace("love", "lo=\r\nve").replace("Love", "Lo=\r\nve").encode(),
        b"From: ?\r\n\r\n" + base64.encodebytes(TEXT.encode()).replace(b"\n", b"\r\n"),
        b"From: ?\n\n" + base64.encodebytes(TEXT.encode("utf-16")),
        b"From: ?\n\n" + base64.encodebytes(TEXT.encode())[:-5],
        b"From: ?\n\n" + base64.encodebytes(b"To: x\n\n" + base64.encodebytes(TEXT.encode())),
    ],
    ids=lambda raw: "",
)
def test_address_is_found_however_it_is_encoded(raw: bytes) -> None:
    assert WANTED in addresses_in(raw)


def test_nothing_is_found_where_nothing_is() -> None:
    assert addresses_in(b"") == addresses_in(b"@ @@ a@ @b \xff\x00@") == []


@pytest.mark.parametrize("unit", [b"@", b"a@b ", b"=?u?b?QEBA?=", b"QEBAQEBA\n", b"=40=\n", b"=?a?q?"])
def test_hostile_mail_takes_linear_time(unit: bytes) -> None:
    began = time.process_time()
    addresses_in(unit * (3_000_000 // len(unit)))
    assert time.process_time() - began < 20
