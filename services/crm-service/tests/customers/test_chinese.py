"""People with Chinese names in both scripts, with lost and wrong values: are their duplicates found, and only they?"""

import random
from datetime import date, timedelta
from itertools import combinations

from opencc import OpenCC

from crm_service.customers.matching import THRESHOLD, Place, Traits, compare, keys

FAMILY = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华玉红梅建国志文海燕春晓东云飞龙凤丹宁浩宇轩梓涵子怡欣雨佳俊凯乐思远"
)
STREETS = ("中山路", "人民路", "解放路", "建设路", "和平路", "长江路", "黄河路", "南京路")
CITIES = ("北京市", "上海市", "广州市", "深圳市", "杭州市", "台北市", "高雄市")
TRADITIONAL = OpenCC("s2t")


def person(choice: random.Random) -> Traits:
    name = choice.choice(FAMILY) + "".join(choice.choices(GIVEN, k=choice.choice((1, 2, 2))))
    street = f"{choice.choice(STREETS)}{choice.randrange(1, 400)}号{choice.randrange(101, 3000)}室"
    born = date(1940, 1, 1) + timedelta(days=choice.randrange(25_000))
    return Traits(name, born, phones=number(choice), places=(Place(street, choice.choice(CITIES)),))


def number(choice: random.Random) -> frozenset[str]:
    return frozenset({f"+861{choice.randrange(3_000_000_000, 9_999_999_999)}"})


def twin(one: Traits, choice: random.Random) -> Traits:
    """Return the person in the other script, with one value lost and perhaps one wrong."""
    name, place = one.name or "", one.places[0]
    lost, wrong = choice.choice(("born", "phone", "place")), choice.choice(("name", "phone", "none"))
    if wrong == "name":
        name = name[:-1] + choice.choice(GIVEN)
    other = Place(TRADITIONAL.convert(place.street), TRADITIONAL.convert(place.city))
    return Traits(
        TRADITIONAL.convert(name),
        None if lost == "born" else one.born_on,
        phones=frozenset() if lost == "phone" else number(choice) if wrong == "phone" else one.phones,
        places=() if lost == "place" else (other,),
    )


def test_duplicates_in_the_other_script_are_found() -> None:
    choice = random.Random(20)
    people = [person(choice) for _ in range(1_000)]
    records = people + [twin(each, choice) for each in people[:500]]
    holders: dict[str, list[int]] = {}
    for number, each in enumerate(records):
        for key in keys(each):
            holders.setdefault(key, []).append(number)
    candidates = {pair for same in holders.values() if len(same) <= 200 for pair in combinations(same, 2)}
    found = {(a, b) for a, b in candidates if compare(records[a], records[b]).value >= THRESHOLD}
    true = {(number, 1_000 + number) for number in range(500)}
    assert len(found & true) / len(found) >= 0.99 and len(found & true) / len(true) >= 0.94, (
        len(found),
        len(found & true),
    )
