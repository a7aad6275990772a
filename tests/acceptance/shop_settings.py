"""The example project with short times and steps that take long enough to be killed in."""

from example_project.settings import *  # noqa: F403
from example_project.settings import DIRECTOR

SHOP_PACE = 0.4
DIRECTOR = DIRECTOR | {
    "LEASE": 3,
    "RENEW": 1,
    "DISPATCH_GRACE": 2,
    "TICK": 0.5,
    # Ten kills may well hit one step more often than three times.
    "MAX_CRASHES": 20,
}
