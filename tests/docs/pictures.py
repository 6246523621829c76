"""The pictures of the documentation, taken from the product after `engage demo`; ``python -m tests.docs.pictures``."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from playwright.sync_api import Page

import engage
from engage.cli.demo import run_demo
from tests.browser.serving import chromium, served, settled
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "pictures"

_TO_WEBP = """async png => {
    const bytes = Uint8Array.from(atob(png), one => one.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    canvas.getContext('2d').drawImage(picture, 0, 0);
    const blob = await canvas.convertToBlob({type: 'image/webp', quality: 0.9});
    let text = '';
    for (const one of new Uint8Array(await blob.arrayBuffer())) text += String.fromCharCode(one);
    return btoa(text);
}"""


def keep(page: Page, name: str, height: int) -> None:
    """Take the window's upper part, as WebP, which is a fourth of a PNG's size."""
    page.set_viewport_size({"width": 1180, "height": height})
    settled(page)
    png = base64.b64encode(page.screenshot()).decode()
    (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(page.evaluate(_TO_WEBP, png)))


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        workspace = engage.Workspace.create(Path(folder) / "shop")
        run_demo(workspace)
        with served(workspace) as address, chromium() as browser:
            page = browser.new_page(viewport={"width": 1180, "height": 1600}, color_scheme="light")
            page.set_default_timeout(90_000)

            page.goto(f"{address}/?file=reports.py")
            page.get_by_text("Who came back within 30 days").wait_for()
            keep(page, "reports", 1500)

            page.goto(f"{address}/?file=reports.py&label=Onboarding")
            page.get_by_role("heading", name="Onboarding: welcome").wait_for()
            keep(page, "label-report", 700)

            page.get_by_role("link", name="Onboarding", exact=True).first.click()
            page.get_by_text("Sent Onboarding, by the").wait_for()
            keep(page, "retention", 900)

            page.get_by_role("button", name="Save those sent Onboarding").click()
            page.get_by_role("link", name="Open it in Audiences").click()
            page.get_by_text("The first two hundred, by id").wait_for()
            page.get_by_role("button", name="The SQL").click()
            keep(page, "label-segment", 1000)

            page.goto(f"{address}/?file=campaigns.py&segment=sent_onboarding")
            page.get_by_label("Subject:").first.fill("Your cart is waiting")
            page.get_by_label("Html:").first.fill("<h1>It is still there</h1><p>All you put in, for two days more.</p>")
            page.get_by_label("Html:").first.press("Tab")
            page.frame_locator("iframe").frame_locator("iframe").get_by_text("All you put in").wait_for()
            keep(page, "composer", 1180)


if __name__ == "__main__":
    main()
