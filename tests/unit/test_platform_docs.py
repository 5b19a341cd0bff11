"""docs/platforms.md and its pages: what administrators read there is what the tool knows and says."""

import re
from pathlib import Path

import pytest

from ipylti.lti.claims import CUSTOM_FIELDS
from ipylti.lti.registrations import FAMILIES, Family, Quirks
from ipylti.views import delivery, errors

DOCS = Path(__file__).parents[2] / "docs"
OVERVIEW = (DOCS / "platforms.md").read_text()
PAGES = {path.stem: path.read_text() for path in (DOCS / "platforms").glob("*.md")}

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def section(title: str, text: str = OVERVIEW) -> str:
    """Return what stands under a heading, up to the next one."""
    _, _, rest = text.partition(f"\n## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of tables but their heads."""
    found = re.findall(r"^\|(?! ---)(.*)\|$(?!\n\| ---)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in found]


def values(family: Family) -> set[str]:
    """Return all that a family fills in, as its row writes it."""
    typed = {
        name: " ".join(value) if isinstance(value, list) else str(value).lower() if value is True else value
        for name, value in family.quirks.to_dict().items()
        if value != Quirks().to_dict()[name]
    }
    told = (family.issuer, family.auth_url, family.token_url, family.jwks_url, family.token_audience)
    return {f"{name}={value}" for name, value in typed.items()} | {each for each in told if each}


def test_every_page_is_a_familys() -> None:
    assert set(PAGES) == set(FAMILIES)


@families
def test_every_family_has_its_page_and_its_row(family: Family) -> None:
    row = next(row for row in rows(section("Families")) if row[1] == f"`{family.code}`")
    assert row[0] == f"[{family.name}](platforms/{family.code}.md)"
    assert row[3]
    page = PAGES[family.code]
    assert page.startswith(f"# {family.name}\n")
    assert f"--family {family.code}" in page
    for title in ("What is special", "How to check", "What goes wrong", "In a course"):
        assert section(title, page).strip()


@families
def test_what_a_family_fills_in_is_what_its_row_says(family: Family) -> None:
    row = next(row for row in rows(section("What a family fills in")) if row[0] == family.code)
    assert set(re.findall(r"`([^`]+)`", row[1])) == values(family)


@families
def test_its_other_names_are_told(family: Family) -> None:
    for alias in family.aliases:
        assert f"`{alias}`" in section("What a family fills in")


def test_every_quirk_is_explained() -> None:
    assert {row[0].strip("`") for row in rows(section("Quirks"))} == set(Quirks().to_dict())


def test_the_custom_parameters_to_paste_are_those_that_are_read() -> None:
    pasted = dict(re.findall(r"^ +(ipylti_\w+)=(\S+)$", OVERVIEW, re.MULTILINE))
    canvas_only = {name for name, value in CUSTOM_FIELDS.items() if value.startswith("$Canvas.")}
    assert pasted == {name: value for name, value in CUSTOM_FIELDS.items() if name not in canvas_only}


def test_what_goes_wrong_is_in_the_tools_own_words() -> None:
    titles = {words.title for words in errors.WORDS.values()} | set(delivery.SENTENCES.values())
    told = {row[0].partition(" (")[0] for row in rows(section("What goes wrong, anywhere"))}
    assert told
    assert told <= titles


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        text = (DOCS / "platforms" / path).resolve().read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert not anchor or anchor in {
            re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings
        }
