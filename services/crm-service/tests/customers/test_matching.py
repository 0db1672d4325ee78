"""Folding, match keys and scores, without a database."""

import unicodedata
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from opencc import OpenCC

from crm_service.customers.matching import THRESHOLD, Place, Traits, compare, fold, keys

HAN = st.text(
    alphabet="王李张刘陈杨赵黄周吴孙马罗梁宋郑谢韩叶卢龙万钱汤礼乐宁兰丽华国伟强东云飞凤后发里面",
    min_size=2,
    max_size=4,
)
TRADITIONAL = OpenCC("s2t")


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=40))
def test_compatible_and_cased_forms_fold_alike(text: str) -> None:
    assert fold(unicodedata.normalize("NFKC", text)) == fold(text)


@given(HAN)
def test_both_scripts_fold_alike_and_share_a_key(name: str) -> None:
    other = TRADITIONAL.convert(name)
    assert fold(other) == fold(name)
    assert keys(Traits(other)) == keys(Traits(name)) != set()


def test_accents_width_and_punctuation_fold_away() -> None:
    assert fold("Zoë  O\u2019Neil-Müller") == fold("\uff3a\uff2f\uff25 o neil muller") == "zoe o neil muller"


@given(name=st.text(max_size=30), other=st.text(max_size=30), born=st.dates(), street=st.text(max_size=30))
def test_score_is_symmetric_and_keys_are_bounded(name: str, other: str, born: date, street: str) -> None:
    one = Traits(name, born, places=(Place(street, "Leeds", "LS1"),))
    two = Traits(other, None, frozenset({"a@b.c"}), places=(Place("1 High Street", "Leeds"),))
    assert abs(compare(one, two).value - compare(two, one).value) < 1e-9
    assert len(keys(one)) < 2_000


def test_name_alone_is_not_enough_to_be_suspected() -> None:
    assert compare(Traits("Wei Wang"), Traits("Wei Wang")).value < THRESHOLD
    same = compare(Traits("Wei Wang", date(1980, 1, 2)), Traits("Wang Wei", date(1980, 2, 1)))
    assert same.value >= THRESHOLD and same.reasons == ("same_name", "similar_birthday")


def test_people_of_one_household_are_not_the_same() -> None:
    home, phone = Place("1 High Street", "Leeds", "LS1 4AP"), frozenset({"+442071838750"})
    ada = Traits("Ada Example", date(1980, 1, 2), phones=phone, places=(home,))
    child = Traits("Tom Example", date(2010, 7, 9), phones=phone, places=(home,))
    assert compare(ada, child).value < THRESHOLD
    assert compare(ada, Traits("A. Example", date(1980, 1, 2), phones=phone)).value >= THRESHOLD
