"""Time of each page with a large catalogue, at the server and until it is painted.

    python -m benchmarks.service.page_latency FOLDER [--rounds 20] [--map-only] [--made-up 1000000]

FOLDER is a catalogue made by ``big_catalogue.py``. The service is started on it with one process;
each page is requested over HTTP (server time until the last byte, and the processor time of service
and database, which a busy machine affects less), then opened in headless Chromium with WebGL in
software (first contentful paint, from the browser's clock; the cache is warm, as for a regular
user). The map is measured too: time until its points are fetched and drawn, the time of a frame
while panning, and the memory of page and service.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import psutil
import zstandard
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service as DriverService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from sqlalchemy import Engine, select, text

from app.classes.tables import GlitchClass
from app.clusters.tables import Cluster
from app.core.access import Role, create_token
from app.core.embedded import start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.glitches.tables import Glitch
from app.map.columns import FOLDER, pack, unpack
from benchmarks.machine import heading

SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
START_S = 900
DRAWN_S = 300


@contextmanager
def serving(folder: Path, url: str) -> Iterator[tuple[str, psutil.Process]]:
    """Run the service as a separate process; yield its address and process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "GLITCH_DATA_DIR": str(folder),
        "GLITCH_LOG_LEVEL": "error",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app"]
    command += ["--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while True:
            try:
                if httpx.get(f"{address}/healthz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.5)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def pages(engine: Engine) -> dict[str, str]:
    """Return the path of each page by name; single items are from the middle of the catalogue."""
    with make_session_factory(engine)() as session:
        total = session.scalar(text("SELECT count(*) FROM glitch")) or 0
        glitch = session.scalars(
            select(Glitch.id)
            .where(Glitch.class_id.is_not(None))
            .order_by(Glitch.id)
            .offset(total // 3)
            .limit(1)
        ).one()
        cluster = session.scalars(select(Cluster.id).order_by(Cluster.size.desc()).limit(1)).first()
        name, key = session.execute(
            select(GlitchClass.name, GlitchClass.id).order_by(GlitchClass.id).limit(1)
        ).one()
    paths = {
        "catalogue": "/ui/glitches",
        "catalogue, filtered": "/ui/glitches?ifo=H1&snr_min=20&novelty=novel",
        "catalogue, a class": f"/ui/glitches?label={name}",
        "glitch": f"/ui/glitches/{glitch}",
        "clusters": "/ui/clusters",
        "map": "/ui/map",
        "classes": "/ui/classes",
        "class": f"/ui/classes/{key}",
        "checkpoints": "/ui/checkpoints",
        "jobs": "/ui/jobs",
        "label audit": "/ui/label-audit",
        "upload": "/ui/upload",
        "batch upload": "/ui/batch",
        "search, an id": f"/ui/search?q={glitch}",
        "search, a time": "/ui/search?q=1250000000",
    }
    if cluster is not None:
        paths["cluster"] = f"/ui/clusters/{cluster}"
    return paths


def open_chromium() -> webdriver.Chrome:
    options = Options()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *SOFTWARE_GL):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=DriverService(shutil.which("chromedriver")))
    driver.set_script_timeout(DRAWN_S)
    return driver


def log_in(client: httpx.Client, token: str) -> None:
    """Start a session of the pages, as the login form does."""
    match = re.search(r'name="csrf" value="([^"]+)"', client.get("/ui/login").text)
    csrf = match[1] if match else ""
    client.post("/ui/login", data={"csrf": csrf, "token": token}).raise_for_status()


def open_session(driver: webdriver.Chrome, address: str, token: str) -> None:
    """Log in through the browser."""
    driver.get(f"{address}/ui/login")
    field = driver.find_element(By.CSS_SELECTOR, "#token")
    field.send_keys(token)
    field.submit()
    WebDriverWait(driver, DRAWN_S).until(lambda it: "/ui/login" not in it.current_url)


def spread(times_ms: list[float]) -> str:
    if not times_ms:
        return f"{'-':>8} {'-':>8}"
    p50, p95 = np.percentile(times_ms, [50, 95])
    return f"{p50:8.0f} {p95:8.0f}"


def cpu_s(service: psutil.Process, database: psutil.Process) -> float:
    """Return processor time of the service and the database's processes, including ended ones."""
    ended = database.cpu_times()
    total = ended.children_user + ended.children_system
    for one in (service, *database.children()):
        with suppress(psutil.NoSuchProcess):
            used = one.cpu_times()
            total += used.user + used.system
    return float(total)


def measure_pages(
    address: str,
    token: str,
    engine: Engine,
    *,
    rounds: int,
    service: psutil.Process,
    database: psutil.Process,
) -> None:
    paths = pages(engine)
    with httpx.Client(base_url=address, follow_redirects=True, timeout=120) as client:
        log_in(client, token)
        driver = open_chromium()
        try:
            open_session(driver, address, token)
            print(f"{'':22} {'server, ms':>17} {'cpu, ms':>9} {'first paint, ms':>17}")
            print(
                f"{'page':22} {'p50':>8} {'p95':>8} {'mean':>9} {'p50':>8} {'p95':>8}   load",
                flush=True,
            )
            for name, path in paths.items():
                server, paint = [], []
                answer = client.get(path)  # the first request fills caches
                if answer.status_code != 200:
                    print(f"{name:22} answered {answer.status_code}", flush=True)
                    continue
                before = cpu_s(service, database)
                for _ in range(rounds):
                    started = time.perf_counter()
                    client.get(path)
                    server.append(1e3 * (time.perf_counter() - started))
                cpu = 1e3 * (cpu_s(service, database) - before) / rounds
                driver.get(f"{address}{path}")
                for _ in range(max(3, rounds // 2)):
                    driver.get(f"{address}{path}")
                    if (paint_ms := first_paint(driver)) is not None:
                        paint.append(paint_ms)
                load = os.getloadavg()[0]
                print(
                    f"{name:22} {spread(server)} {cpu:9.0f} {spread(paint)}   {load:.0f}",
                    flush=True,
                )
        finally:
            driver.quit()


def first_paint(driver: webdriver.Chrome) -> float | None:
    """Return milliseconds from the start of the navigation to the first contentful paint."""
    paint_ms = driver.execute_async_script(
        """
        const done = arguments[0];
        const seen = performance.getEntriesByName("first-contentful-paint");
        if (seen.length) done(seen[0].startTime);
        else {
          new PerformanceObserver((list, observer) => {
            const [entry] = list.getEntriesByName("first-contentful-paint");
            if (entry) { observer.disconnect(); done(entry.startTime); }
          }).observe({ type: "paint", buffered: true });
          setTimeout(() => done(null), 5000);
        }
        """
    )
    return None if paint_ms is None else float(paint_ms)


def measure_points(address: str, token: str, process: psutil.Process, folder: Path) -> None:
    """Measure how the points are built and sent, without cached ones."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "zstd"}
    with httpx.Client(base_url=address, timeout=600, headers=headers) as client:
        for name in ("built and sent", "sent again"):
            started = time.perf_counter()
            with client.stream("GET", "/map") as answer:
                answer.raise_for_status()
                size = sum(map(len, answer.iter_raw()))
                tag = answer.headers["etag"]
            seconds = time.perf_counter() - started
            print(f"points {name:24} {seconds:8.2f} s   {size / 1e6:.1f} MB zstd", flush=True)
        started = time.perf_counter()
        same = client.get("/map", headers={"If-None-Match": tag})
        print(
            f"points not modified ({same.status_code})       {time.perf_counter() - started:8.2f} s"
        )
        started = time.perf_counter()
        plain = client.get("/map", headers={"Accept-Encoding": "identity"})
        print(f"points plain                    {time.perf_counter() - started:8.2f} s   "
              f"{len(plain.content) / 1e6:.1f} MB")  # fmt: skip
    print(f"service's memory                {process.memory_info().rss / 1e6:8.0f} MB", flush=True)


def make_up_points(folder: Path, count: int) -> None:
    """Replace the service's cached points of the current map with synthetic ones.

    This measures the page with a million points without a database of a million glitches.
    """
    source = max((folder / FOLDER).glob("*.points.zst"), key=lambda path: path.stat().st_mtime)
    version = source.name.partition(".")[0]
    header, columns = unpack(zstandard.ZstdDecompressor().decompress(source.read_bytes()))
    rng = np.random.default_rng(1)
    rows = rng.integers(0, header["n_points"], count)
    sampled = {name: column[rows] for name, column in columns.items()}
    for axis in ("x", "y"):
        sampled[axis] = sampled[axis] + (0.01 * rng.standard_normal(count)).astype(np.float32)
    for name, column in (("classes", "class"), ("ifos", "ifo"), ("clusters", "cluster")):
        counts = np.bincount(sampled[column], minlength=len(header[name]))
        for one, number in zip(header[name], counts, strict=True):
            one["count"] = int(number)
    header["n_points"] = count
    source.write_bytes(zstandard.ZstdCompressor(level=3).compress(pack(header, sampled)))
    ids = np.frombuffer((folder / FOLDER / f"{version}.ids").read_bytes(), dtype="V16")
    (folder / FOLDER / f"{version}.ids").write_bytes(ids[rows].tobytes())
    print(f"page with {count:,} points, made up from those of the catalogue", flush=True)


def measure_map_page(address: str, token: str) -> None:
    """Measure how the page handles the points: fetched, drawn, dragged, coloured again."""
    driver = open_chromium()
    try:
        open_session(driver, address, token)
        driver.get(f"{address}/ui/map")
        WebDriverWait(driver, DRAWN_S).until(
            lambda one: one.execute_script("return document.querySelector('#map[data-ready]')")
        )
        fetched, drawn, complete, painted = driver.execute_script(
            """
            const points = performance.getEntriesByType("resource")
              .find((one) => one.name.endsWith("/map/points"));
            const drawn = performance.getEntriesByName("map-drawn").map((one) => one.startTime);
            return [points.responseEnd, drawn[0], drawn.at(-1),
                    performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN];
            """
        )
        print(f"page: first paint               {painted / 1e3:8.2f} s")
        print(f"page: points fetched            {fetched / 1e3:8.2f} s")
        print(f"page: points first drawn        {drawn / 1e3:8.2f} s")
        print(f"page: all drawn, page ready     {complete / 1e3:8.2f} s", flush=True)
        frames = pan(driver)
        print(f"page: a frame while panning     p50 {np.median(frames):.0f} ms, "
              f"p95 {np.percentile(frames, 95):.0f} ms ({len(frames)} frames)")  # fmt: skip
        heap = driver.execute_script("return performance.memory.usedJSHeapSize") / 1e6
        browser = psutil.Process(driver.service.process.pid)
        largest = max(one.memory_info().rss for one in browser.children(recursive=True)) / 1e6
        print(f"page: scripts' memory           {heap:8.0f} MB; largest process {largest:.0f} MB")
        for value in ("ifo", "p_value"):
            started = time.perf_counter()
            driver.execute_async_script(
                """
                const done = arguments[1];
                const choice = document.querySelector("#colour-by");
                choice.value = arguments[0];
                choice.dispatchEvent(new Event("change"));
                setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 0);
                """,
                value,
            )
            seconds = time.perf_counter() - started
            print(f"page: coloured by {value:13} {seconds:8.2f} s", flush=True)
    finally:
        driver.quit()


def pan(driver: webdriver.Chrome) -> list[float]:
    """Return milliseconds between frames while the map is dragged for some seconds."""
    found = driver.execute_async_script(
        """
        const done = arguments[0];
        const canvas = document.querySelector("#points");
        const { left, top, width, height } = canvas.getBoundingClientRect();
        const send = (target, kind, x, y) => target.dispatchEvent(new MouseEvent(kind, {
          bubbles: true, buttons: 1,
          clientX: left + width / 2 + x, clientY: top + height / 2 + y }));
        send(canvas, "mouseover", 0, 0);
        send(canvas, "mousedown", 0, 0);
        const frames = [];
        let last = performance.now();
        let step = 0;
        const tick = (now) => {
          frames.push(now - last);
          last = now;
          step += 1;
          send(window, "mousemove", 120 * Math.sin(step / 5), 60 * Math.cos(step / 5));
          const passed = frames.reduce((a, b) => a + b);
          if (frames.length < 60 && passed < 40_000) requestAnimationFrame(tick);
          else { send(window, "mouseup", 0, 0); done(frames.slice(1)); }
        };
        requestAnimationFrame(tick);
        """
    )
    return [float(one) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--map-only", action="store_true")
    parser.add_argument("--made-up", type=int, default=0, help="time the page with so many points")
    args = parser.parse_args()
    print(heading())
    server = start_embedded(args.folder / "database")
    url = server.url()
    upgrade(url)
    engine = make_engine(url)
    lock = args.folder / "database" / "postgres" / "postmaster.pid"
    database = psutil.Process(int(lock.read_text().split()[0]))
    try:
        with make_session_factory(engine).begin() as session:
            total = session.scalar(text("SELECT count(*) FROM glitch"))
            token = create_token(session, f"benchmark-{uuid4().hex[:8]}", Role.REVIEWER).secret
        print(f"catalogue {total:,} glitches", flush=True)
        with serving(args.folder, url) as (address, process):
            if not args.map_only:
                measure_pages(
                    address, token, engine, rounds=args.rounds, service=process, database=database
                )
            measure_points(address, token, process, args.folder)
            measure_map_page(address, token)
            if args.made_up:
                make_up_points(args.folder, args.made_up)
                measure_map_page(address, token)
                shutil.rmtree(args.folder / FOLDER)
    finally:
        engine.dispose()
        server.stop()


if __name__ == "__main__":
    main()
