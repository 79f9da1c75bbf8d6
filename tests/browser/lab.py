"""A real JupyterLab in a real Chromium, offline, with configuration folders of its own.

with lab(notebook) as page:        # opened, its kernel ready
    page.run_all_cells()
    page.press("noise", "ArrowRight")
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = """async (path) => {
    const app = window.jupyterapp;
    await app.restored;
    const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    window.notebookPanel = panel;
    return panel.sessionContext.session.kernel.name;
}"""
WITHIN_90_SECONDS = """(argument) => Promise.race([(STEPS)(argument), new Promise((_, reject) =>
    setTimeout(() => reject(new Error('no kernel within 90 s: has the notebook a kernelspec?')), 90000))])"""
RUN_ALL = """async () => {
    const panel = window.notebookPanel;
    window.jupyterapp.shell.activateById(panel.id);
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    const cells = panel.content.model.sharedModel.cells.filter(cell => cell.cell_type === 'code');
    return cells.flatMap(cell => cell.getOutputs()).filter(output => output.output_type === 'error')
                .map(output => output.ename + ': ' + output.evalue);
}"""
RUN_CELL = """async (text) => {
    const notebook = window.notebookPanel.content;
    const cells = notebook.widgets;
    notebook.activeCellIndex = cells.findIndex(
        cell => cell.model.type === 'code' && cell.model.sharedModel.source.includes(text));
    await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
RUN_CODE = """async (code) => {
    const future = window.notebookPanel.sessionContext.session.kernel.requestExecute({code, store_history: false});
    let text = '';
    future.onIOPub = message => {
        if (message.header.msg_type === 'stream') text += message.content.text;
        if (message.header.msg_type === 'error') text += message.content.evalue;
    };
    await future.done;
    return text;
}"""
RESTART = """async () => { await window.notebookPanel.sessionContext.session.kernel.restart();
                          await window.notebookPanel.sessionContext.session.kernel.info; }"""
# Scripts find a slider by the text of its label, and panels by the sliders in them.
FIND = """() => {
window.findSlider = (label, nth = 0) => {
    const sliders = [...document.querySelectorAll('.widget-slider')].filter(
        slider => slider.querySelector('label')?.textContent.trim() === label);
    return sliders[nth];
};
window.findPanel = (label, nth = 0) => findSlider(label, nth).closest('.gmnm-panel, .interact, .widget-interact, .jp-OutputArea');
window.findPicture = (label, nth = 0) => findPanel(label, nth).querySelector('img');
window.changes = {};
window.countChanges = (label, nth = 0) => {
    changes[label] = 0;
    const watched = {attributes: true, attributeFilter: ['src']};
    new MutationObserver(records => { changes[label] += records.length; }).observe(findPicture(label, nth), watched);
};
}"""
# Milliseconds from a key press to the changed picture, decoded for the frame that shows it.
LATENCY = """async ([label, nth, key]) => {
    const handle = findSlider(label, nth).querySelector('.noUi-handle');
    const area = findPanel(label, nth);
    handle.focus();
    const before = findPicture(label, nth).src;
    return await new Promise((resolve, reject) => {
        let began = 0;
        const late = setTimeout(() => { observer.disconnect(); reject(new Error('no picture within 5 s')); }, 5000);
        const observer = new MutationObserver(async () => {
            const image = area.querySelector('img');
            if (!image || image.src === before) return;
            observer.disconnect();
            clearTimeout(late);
            const changed = performance.now() - began;
            await image.decode().catch(() => null);  // Chromium answers with the frame that can show it
            resolve([changed, performance.now() - began]);
        });
        observer.observe(area, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
        began = performance.now();
        handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    });
}"""


class Notebook:
    """An open notebook: `page` is playwright's, the methods are what a reader does."""

    def __init__(self, page: Any, complaints: list[str]):
        self.page, self.complaints = page, complaints

    def run_all_cells(self) -> list[str]:
        """Run all cells and wait; the errors that they showed."""
        return self.page.evaluate(RUN_ALL)

    def run_cell_again(self, containing: str) -> None:
        """Select the code cell with this text and run it, as a reader does."""
        self.page.evaluate(RUN_CELL, containing)

    def run_code(self, code: str) -> str:
        """What `code` prints in the notebook's kernel."""
        return self.page.evaluate(RUN_CODE, code)

    def restart_kernel(self) -> None:
        self.page.evaluate(RESTART)

    def press(self, label: str, key: str, *, nth: int = 0, times: int = 1) -> None:
        """Press a key on the handle of the `nth` slider with that label."""
        handle = self.page.locator(".widget-slider", has=self.page.get_by_text(label, exact=True)).nth(nth)
        handle.scroll_into_view_if_needed()
        handle.locator(".noUi-handle").focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def click(self, button: str, nth: int = 0) -> None:
        self.page.locator(".jupyter-button:visible", has_text=button).nth(nth).click()

    def count_changes(self, label: str, nth: int = 0) -> None:
        """Count from now on how often the picture beside a slider changes."""
        self.page.evaluate("([label, nth]) => countChanges(label, nth)", [label, nth])

    def changes(self, label: str) -> int:
        return self.page.evaluate("(label) => changes[label]", label)

    def wait_for_changes(self, label: str, count: int, seconds: float = 20) -> None:
        self.page.wait_for_function("([l, n]) => changes[l] >= n", arg=[label, count], timeout=seconds * 1000)

    def latency(self, label: str, key: str, nth: int = 0) -> tuple[float, float]:
        """Milliseconds from a key press on a slider to its new picture in the page, and until that is decoded for the screen."""
        changed, shown = self.page.evaluate(LATENCY, [label, nth, key])
        return changed, shown


@contextmanager
def lab(notebook: Path, *, width: int = 1280, height: int = 1000) -> Iterator[Notebook]:
    """`notebook` open in JupyterLab, its kernel ready. It works on the file itself: give it a copy."""
    from playwright.sync_api import sync_playwright

    with _server(notebook.parent) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            complaints: list[str] = []
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{address}/lab?reset")
            page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
            page.evaluate(WITHIN_90_SECONDS.replace("STEPS", READY), notebook.name)
            page.evaluate(FIND)
            yield Notebook(page, complaints)
        finally:
            browser.close()


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """JupyterLab on a free loopback port, ended with its kernels."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as own:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        environment |= {f"JUPYTER_{name}_DIR": str(Path(own, name.lower())) for name in ("CONFIG", "DATA", "RUNTIME")}
        environment |= {"IPYTHONDIR": str(Path(own, "ipython")), "JUPYTERLAB_SETTINGS_DIR": str(Path(own, "settings"))}
        environment |= {
            "JUPYTERLAB_WORKSPACES_DIR": str(Path(own, "workspaces")),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        page_config = Path(own, "config", "labconfig", "page_config.json")
        page_config.parent.mkdir(parents=True)
        page_config.write_text(
            json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}})
        )
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--allow-root",
        ]
        command += [
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            f"--ServerApp.root_dir={folder}",
        ]
        command += ["--LabApp.expose_app_in_browser=True"]
        log = Path(own, "log.txt")
        with log.open("w") as output:
            process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        try:
            _await(f"http://127.0.0.1:{port}/api", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await(address: str, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"JupyterLab did not answer within {seconds:g} s:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
