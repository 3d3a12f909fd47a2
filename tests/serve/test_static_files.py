"""The page in a real browser: typed with a keyboard, in both languages, light and dark, on a phone, with a token."""

import json
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from serve.fakes import served
from serve.servers import serving

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
TEXT = "The staff was good <b>and</b> the room was bad bad"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    profile = tmp_path_factory.mktemp("chromium")
    flags = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en", f"--user-data-dir={profile}")
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def shape(browser, width, *, dark):
    how = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", how)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def wait(browser, condition):
    return WebDriverWait(browser, 30).until(lambda _: condition())


def shown(browser, selector):
    return [one for one in browser.find_elements(By.CSS_SELECTOR, selector) if one.is_displayed()]


def ask(browser, address, text=TEXT):
    """Open the page and send a text with nothing but the keyboard."""
    browser.get(address)
    keys = webdriver.ActionChains(browser)
    keys.send_keys(Keys.TAB, Keys.ENTER).pause(0.2).send_keys(text)  # the link that skips the header
    keys.key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    wait(browser, lambda: browser.find_element(By.ID, "status").text in ("Done.", "完成。"))


def requested(browser):
    entries = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {e["params"]["request"]["url"] for e in entries if e["method"] == "Network.requestWillBeSent"}


def test_a_text_gets_bars_words_and_variants(browser):
    with serving(served()) as address:
        shape(browser, 1100, dark=False)
        ask(browser, address)
        bars = shown(browser, "#bars li")
        assert [bar.text.split("\n") for bar in bars] == [["negative", "73.1%"], ["positive", "26.9%"]]
        widths = [bar.find_element(By.CSS_SELECTOR, ".track > span").size["width"] for bar in bars]
        assert widths[0] / widths[1] == pytest.approx(2.72, rel=0.05)
        marks = shown(browser, "#words mark.strong")
        assert {(mark.text, mark.get_attribute("class")) for mark in marks} == {
            ("good", "against strong"),
            ("bad", "for strong"),
        }
        assert browser.find_element(By.ID, "words").text == TEXT, "what was typed is shown, not obeyed"
        assert len(shown(browser, "#variants li")) > 3
        before = browser.find_element(By.ID, "variants").text
        browser.find_element(By.ID, "again").click()
        wait(browser, lambda: browser.find_element(By.ID, "variants").text != before)
        assert {url for url in requested(browser) if not url.startswith((address, "data:", "chrome"))} == set()
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [320, 375, 1100])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_cut_off_and_everything_can_be_read(browser, width, dark):
    with serving(served()) as address:
        shape(browser, width, dark=dark)
        ask(browser, address, TEXT + " " + "x" * 90)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(CONTRAST) == []
        grey = "rgb(95, 95, 95)" if dark else "rgb(150, 150, 150)"
        browser.execute_script("document.getElementById('status').style.color = arguments[0]", grey)
        assert len(browser.execute_script(CONTRAST)) == 1, "what is hard to read is not found"
        small = [b.text for b in shown(browser, "button, select, textarea") if b.size["height"] < 24]
        assert small == []
        ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (ground != "rgb(255, 255, 255)") == dark


# Texts whose contrast with what is behind them is below 4.5 to 1.
CONTRAST = """
const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
const parse = (s) => s.match(/[\\d.]+/g).map(Number);
function behind(element) {
  const chain = [];
  for (let e = element; e; e = e.parentElement) chain.unshift(parse(getComputedStyle(e).backgroundColor));
  const over = (under, c) => under.map((v, i) => v * (1 - (c[3] ?? 1)) + c[i] * (c[3] ?? 1));
  return chain.reduce(over, [255, 255, 255]);
}
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.offsetParent || e.matches("script, .skip, option")) continue;
  const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) bad.push([e.tagName, e.textContent, (a + 0.05) / (b + 0.05)]);
}
return bad;
"""


def test_the_switch_changes_every_word_and_keeps_the_answers(browser):
    with serving(served()) as address:
        shape(browser, 1100, dark=False)
        ask(browser, address)
        english = browser.find_element(By.ID, "why-note").text
        switch = browser.find_element(By.ID, "switch")
        assert (switch.text, switch.get_attribute("lang")) == ("中文", "zh")
        switch.send_keys(Keys.ENTER)
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "zh"
        assert "依次去掉每个词" in browser.find_element(By.ID, "why-note").text
        assert browser.find_element(By.ID, "send").text == "分类"
        assert len(shown(browser, "#bars li")) == 2
        switch.send_keys(Keys.ENTER)
        assert browser.find_element(By.ID, "why-note").text == english


def test_each_kind_of_model_has_its_page(browser):
    shape(browser, 1100, dark=False)
    with serving(served("tokens")) as address:
        ask(browser, address, "a good film")
        assert [mark.text for mark in shown(browser, "#tags mark")] == ["a", "goodB-OPINION 90.0%", "film"]
        assert not shown(browser, "#why, #typos")
    with serving(served("regression")) as address:
        ask(browser, address, "a good film")
        assert shown(browser, "#bars li")[0].text.split("\n") == ["stars", "4.000"]
    with serving(served("multi-label")) as address:
        ask(browser, address, "food and staff")
        assert len(shown(browser, "#bars li.given")) == 2
    with serving(served(pairs=True)) as address:
        browser.get(address)
        browser.find_element(By.ID, "text").send_keys("so good")
        browser.find_element(By.ID, "pair").send_keys("a film", Keys.CONTROL, Keys.ENTER)
        wait(browser, lambda: len(shown(browser, "#words .marked")) == 2)


def test_a_refusal_and_a_token(browser):
    shape(browser, 1100, dark=False)
    with serving(served(), token="s3cret") as address:
        browser.get(address)
        browser.find_element(By.ID, "send").click()
        assert browser.find_element(By.ID, "error").text == "Type a text first."
        browser.find_element(By.ID, "text").send_keys("a good film")
        browser.find_element(By.ID, "send").click()
        wait(browser, lambda: "A token is needed" in browser.find_element(By.ID, "error").text)
        assert not shown(browser, "#bars li")
        browser.find_element(By.ID, "token").send_keys("s3cret", Keys.ENTER)
        wait(browser, lambda: len(shown(browser, "#bars li")) == 2)
        time.sleep(0.1)
        assert not shown(browser, "#error")
        assert Path(browser.current_url).name.count("s3cret") == 0
