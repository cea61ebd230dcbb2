"""Step 9: a crawler that uses aiohttp and requests together, in one thread.

It starts a small site on this machine, whose pages link to others and answer slowly, and follows
all links with four workers on one queue. Two are coroutines and fetch with aiohttp; two are plain
functions and fetch with requests. Four of the pages are answered only when all four are asked for
at once: one worker that kept the thread would stop the program for good.

Run     greenroom run examples/tour/step9_crawler.py [SECONDS]          (0.1 s a page: about 1 s)
Prints  31 pages by requests and aiohttp
        at most 4 pages were fetched at once
"""

import asyncio
import http.server
import re
import sys
import threading
import time

import aiohttp
import requests

import greenroom

PAGES = 31


class Site(http.server.BaseHTTPRequestHandler):
    """Page N links to the pages 2N + 1 and 2N + 2; 3, 4, 5 and 6 wait for each other."""

    seconds = 0.1
    inside = most = 0
    meeting = threading.Barrier(4)

    def do_GET(self):
        Site.inside += 1
        Site.most = max(Site.most, Site.inside)
        number = int(self.path.strip("/"))
        if 3 <= number <= 6:
            self.meeting.wait()
        time.sleep(self.seconds)
        Site.inside -= 1
        links = [n for n in (2 * number + 1, 2 * number + 2) if n < PAGES]
        body = "".join(f'<a href="/{n}">' for n in links).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Crawler:
    """What is known of the site, and what is still to be fetched."""

    def __init__(self, base):
        self.base = base
        self.queue = greenroom.Queue()
        self.found = {0}
        self.fetched = {}
        self.queue.put(0)

    def note(self, number, library, text):
        """Keep who fetched a page, and queue the links that are new."""
        self.fetched[number] = library
        for link in map(int, re.findall(r'href="/(\d+)"', text)):
            if link not in self.found:
                self.found.add(link)
                self.queue.put(link)
        self.queue.task_done()

    def work(self):
        with requests.Session() as session:
            while True:
                number = self.queue.get()
                self.note(number, "requests", session.get(f"{self.base}/{number}").text)

    async def work_in_a_coroutine(self):
        async with aiohttp.ClientSession() as session:
            while True:
                number = await greenroom.op(self.queue.get)
                async with session.get(f"{self.base}/{number}") as reply:
                    self.note(number, "aiohttp", await reply.text())


async def crawl(base):
    crawler = Crawler(base)
    coroutines = [asyncio.create_task(crawler.work_in_a_coroutine()) for _ in range(2)]
    threads = [greenroom.spawn(crawler.work) for _ in range(2)]
    crawler.queue.join()  # blocks this coroutine, and nobody else
    for task in coroutines:
        task.cancel()
    await asyncio.wait(coroutines)
    for task in threads:
        task.kill()
    return crawler.fetched


def main(seconds):
    Site.seconds = seconds
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    fetched = asyncio.run(crawl(f"http://127.0.0.1:{site.server_port}"))
    print(len(fetched), "pages by", " and ".join(sorted(set(fetched.values()), reverse=True)))
    print("at most", Site.most, "pages were fetched at once")
    site.shutdown()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.1)
