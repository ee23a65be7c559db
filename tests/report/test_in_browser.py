"""The page as people use it, in a headless Chromium."""

import json

import pytest
from support.reported import HOSTILE, write_reported

from d2sfm.report.facts import gather
from d2sfm.report.models import find_models
from d2sfm.report.names import shown
from d2sfm.report.report import write_report

pytest.importorskip("selenium", reason="no selenium, which drives the browser")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from support.browser import browser, complaints, missing, opened

DASH = "\u2013"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(missing() is not None, reason=str(missing()))]


@pytest.fixture(scope="module")
def driver():
    with browser() as driver:
        yield driver


@pytest.fixture
def made(tmp_path):
    """Writes the page of a small reconstruction."""

    def make(**names):
        reported = write_reported(tmp_path, **names)
        given = {"database": reported.database, "images": reported.photographs}
        write_report(reported.model, tmp_path / "report.html", **given)
        return reported, tmp_path / "report.html"

    return make


def column(driver, index):
    script = (
        "return [...document.querySelectorAll('#photographs tbody tr')].map(row => row.cells[arguments[0]].innerText)"
    )
    return driver.execute_script(script, index)


def test_the_page_says_what_the_model_says_and_does_what_it_offers(made, driver):
    reported, page = made()
    facts = gather(find_models(reported.model), reported.database)
    opened(driver, page)
    assert f"{len(facts.models[0].images)} of 6 photographs" in driver.find_element(By.ID, "summary").text
    assert column(driver, 6) == [DASH if each.points is None else f"{each.points:,}" for each in facts.photographs]
    assert column(driver, 7) == [
        DASH if each.error_px is None else f"{each.error_px:.2f}" for each in facts.photographs
    ]
    assert "agrees with no image of the model" in column(driver, 1)[5]

    # Sorted by points, largest first, then smallest; what is not known comes last both times.
    known = sorted((each.points for each in facts.photographs if each.points is not None), reverse=True)
    button = driver.find_element(By.XPATH, "//table[@id='photographs']//th[7]/button")
    for expected in (known, known[::-1]):
        button.click()
        assert column(driver, 6) == [*(f"{each:,}" for each in expected), DASH]

    # A camera chosen in the list is told of and marked in the view and in the table.
    assert driver.execute_script("return viewer.model.first.count") == len(facts.models[0].observations.xyz)
    assert driver.execute_script("return viewer.scene.children.filter(each => each.isPoints).length") == 1
    Select(driver.find_element(By.ID, "camera")).select_by_visible_text("2.jpg")
    card = driver.find_element(By.ID, "card").text
    assert card.startswith("2.jpg")
    assert f"{facts.photographs[2].error_px:.2f} px" in card
    assert driver.execute_script("return photographs[viewer.chosen.row].name") == "2.jpg"
    assert driver.find_element(By.CSS_SELECTOR, "#photographs tr.chosen").text.startswith("2.jpg")
    driver.find_element(By.ID, "through").click()

    # The matrix names both photographs of a cell.
    canvas = driver.find_element(By.ID, "matrix")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    cell = canvas.size["width"] / 6
    for a, b in ((1, 4), (0, 5)):
        ActionChains(driver).move_to_element(canvas).move_by_offset(
            int((a - 2.5) * cell), int((b - 2.5) * cell)
        ).perform()
        told = driver.find_element(By.ID, "pair").text
        [index] = [k for k in range(15) if (facts.pairs.a[k], facts.pairs.b[k]) == (a, b)]
        verified, matches = facts.pairs.verified[index], facts.pairs.matches[index]
        assert f"{a}.jpg {DASH} {b}.jpg" in told
        assert (f"{verified} verified matches of {matches}" if verified else "not verified") in told

    driver.find_element(By.ID, "only").click()
    rows = driver.find_elements(By.CSS_SELECTOR, "#photographs tbody tr")
    assert [row.text.split()[0] for row in rows if row.is_displayed()] == ["5.jpg"]
    assert complaints(driver) == []


def test_names_of_any_kind_are_shown_as_text(made, driver):
    _, page = made(names=HOSTILE)
    opened(driver, page)
    assert driver.title not in ("1", "2")
    names = driver.find_elements(By.CSS_SELECTOR, "#photographs button.name")
    assert sorted(each.text for each in names) == sorted(map(shown, HOSTILE))
    assert column(driver, 0)[0].endswith("SIFT")  # keypoints that are not D2-Net's are told apart
    for row in range(len(HOSTILE)):
        driver.execute_script("choose(arguments[0])", row)
        name = driver.execute_script("return photographs[arguments[0]].name", row)
        card = driver.find_element(By.ID, "card")
        assert card.find_element(By.TAG_NAME, "h3").text == name
        assert '<b>Maker</b>"</script>' in card.text
        driver.execute_script(
            "document.getElementById('matrix').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))"
        )
    assert driver.title not in ("1", "2")
    assert complaints(driver) == []


def test_a_set_that_fails_entirely_has_a_page_without_a_view(tmp_path, driver):
    reported = write_reported(tmp_path)
    write_report(None, tmp_path / "report.html", database=reported.database)
    opened(driver, tmp_path / "report.html")
    assert "Nothing could be reconstructed" in driver.find_element(By.TAG_NAME, "header").text
    assert not driver.find_elements(By.ID, "stage")
    assert len(column(driver, 1)) == 6
    assert complaints(driver) == []


def test_on_a_telephone_and_in_the_dark_nothing_is_wider_than_the_page(made):
    _, page = made()
    with browser(400, 800, is_dark=True) as driver:
        size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened(driver, page)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 400
        colours = driver.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        ink, paper = (sum(json.loads(f"[{each[each.index('(') + 1 : -1]}]")[:3]) for each in colours)
        assert ink > paper
        assert complaints(driver) == []
