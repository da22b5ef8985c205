"""The demo's customers, who order while the page's switch is on."""

from contextlib import suppress

import urllib3

from lab.faults.customers import Customers, cheap
from lab.state_files import StateFiles

RETRIES = (True, True, True)  # of the three customers


class Load:
    """Customers at this site."""

    def __init__(self, files: StateFiles, site: str) -> None:
        self.files, self.site = files, site
        self.customers: Customers | None = None

    def update(self) -> None:
        """Start or end the customers as requested."""
        requested = bool(self.files.load_until())
        if requested and self.customers is None:
            with suppress(urllib3.exceptions.HTTPError, ValueError):
                items = urllib3.request("GET", f"{self.site}/api/products?limit=100", timeout=5).json()["items"]
                self.customers = Customers(self.site, cheap(items), "visitor@example.org", RETRIES)
                self.customers.__enter__()
        elif self.customers and not requested:
            self.customers.__exit__()
            self.customers = None

    def end(self) -> None:
        self.files.set_load(0)
        self.update()

    def latency(self) -> float | None:
        """Seconds that a checkout takes now; None without customers."""
        return self.customers.latency() if self.customers else None
