"""`lora-ledger status`: who asks which ledger, what runs now, and what waits in this machine's spool."""

from ..core.transport import Denied, Later, Ledger, Refused
from . import spool_report
from ..core.api import Api, Plain, printable, put, table
from .ls import HEADS, row_of


def status(settings, _options):
    """Prints the state of ledger, login and spool. The exit code: 1 when the ledger or the key does not answer."""
    put(f"ledger: {settings.url or 'not set (LEDGER_URL, or `lora-ledger login`)'}")
    code = 0 if settings.url and settings.key else 1
    if code:
        put(f"key: {'given' if settings.key else 'not set (LEDGER_KEY, or `lora-ledger login`)'}")
    else:
        try:
            me = Ledger(settings.url, settings.key).ask("GET", "/api/me")
            user = me.get("user") if isinstance(me.get("user"), dict) else me
            put(f"user: {user.get('name')}" + (f" ({user['role']})" if user.get("role") else ""))
            _used(Ledger(settings.url, settings.key))
            _running(Api(settings))
        except Denied as error:
            if error.status == 403:
                put("user: a box key")
            else:
                put(f"key: not accepted ({error})")
                code = 1
        except (Later, Refused, Plain) as error:
            put(f"no answer: {error}")
            code = 1
    found = [spool_report.read(folder) for folder in spool_report.folders(settings.spool)]
    waiting = [spool for spool in found if spool.running or spool.problems]
    if not waiting:
        put(f"spool: nothing waits in {settings.spool}")
    for spool in waiting:
        told = "being sent by a running process" if spool.running else spool.problems[0]
        more = f" ({spool.refused} item{'s' if spool.refused > 1 else ''} refused in all)" if spool.refused else ""
        put(f"spool: {spool.name}: {printable(told)}{more}")
    return code


def _used(ledger):
    """A line for each bound of the user that comes near; a ledger of before knows none."""
    try:
        items = ledger.ask("GET", "/api/me/use").get("items") or []
    except Refused:
        return
    for item in items:
        used, most = item.get("used"), item.get("most")
        if used and most and used >= 0.8 * most:
            put(f"used: {used:,} of at most {most:,} {str(item.get('bound')).replace('_', ' ')}")


def _running(api):
    rows = [row_of(task) for task in api.pages("/api/tasks", 50, status="running")]
    put(f"running: {len(rows) if len(rows) < 50 else '50 or more'}")
    for line in table(HEADS, rows) if rows else ():
        put("  " + line)
