"""What every test may ask for: one event loop, and hypothesis without a deadline on a shared machine."""

import hypothesis
import pytest

hypothesis.settings.register_profile("bailiwick", deadline=None, print_blob=True)
hypothesis.settings.load_profile("bailiwick")


@pytest.fixture
def anyio_backend():
    return "asyncio"
