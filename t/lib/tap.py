"""TAP for tests in Python: a handful of functions, one plan at the end.

    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
    from tap import ok, is_, diag, done

    ok(1 + 1 == 2, 'sum')
    is_(f(3), 9, 'square')
    done()                      # prints the plan and exits: 0 if all passed, else 1

Each check returns whether it passed. An uncaught exception shows as '#' lines, leaves the plan out and exits with 1, so
that prove counts the test as failed. Threads may call the checks.
"""

import re
import sys
import threading
import traceback

_count = 0
_failed = 0
_lock = threading.Lock()


def _line(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def diag(text):
    """A diagnostic, each line behind '# '."""
    for line in str(text).splitlines() or ['']:
        _line('# ' + line)


def _where():
    for frame in reversed(traceback.extract_stack()):
        if frame.filename != __file__:
            return '%s line %d' % (frame.filename, frame.lineno)
    return '?'


def _show(value):
    text = repr(value)
    return text if len(text) <= 2000 else text[:2000] + '... (%d characters)' % len(text)


def ok(passed, name):
    """One check."""
    global _count, _failed
    with _lock:
        _count += 1
        if not passed:
            _failed += 1
        clean = str(name).replace('\n', ' ').replace('#', '\\#')
        _line('%s %d - %s' % ('ok' if passed else 'not ok', _count, clean))
    if not passed:
        diag('  failed at ' + _where())
    return bool(passed)


def is_(got, want, name):
    """got == want."""
    if not ok(got == want, name):
        diag('  got    ' + _show(got))
        diag('  wanted ' + _show(want))
        return False
    return True


def isnt(got, unwanted, name):
    """got != unwanted."""
    if not ok(got != unwanted, name):
        diag('  got    ' + _show(got) + ', which is not wanted')
        return False
    return True


def like(text, pattern, name):
    """re.search(pattern, text) finds something."""
    if not ok(re.search(pattern, text) is not None, name):
        diag('  got    ' + _show(text))
        diag('  wanted to match ' + _show(pattern))
        return False
    return True


def unlike(text, pattern, name):
    """re.search(pattern, text) finds nothing."""
    if not ok(re.search(pattern, text) is None, name):
        diag('  got    ' + _show(text))
        diag('  wanted not to match ' + _show(pattern))
        return False
    return True


def lives(name, function, *args, **kwargs):
    """Calls the function; passes if it raises nothing. Returns its result, None when it raised."""
    try:
        result = function(*args, **kwargs)
    except Exception as error:  # a failed check, not the end of the test
        ok(False, name)
        diag('  %s: %s' % (type(error).__name__, error))
        return None
    ok(True, name)
    return result


def raises(name, exception, function, *args, **kwargs):
    """Calls the function; passes if it raises `exception`."""
    try:
        function(*args, **kwargs)
    except exception:
        return ok(True, name)
    except Exception as error:
        ok(False, name)
        diag('  raised %s: %s' % (type(error).__name__, error))
        return False
    ok(False, name)
    diag('  raised nothing')
    return False


def skip(count, reason):
    """`count` checks that cannot run here."""
    global _count
    with _lock:
        for _ in range(count):
            _count += 1
            _line('ok %d # skip %s' % (_count, reason))


def skip_all(reason):
    """The whole test cannot run here; exits. Before the first check."""
    _line('1..0 # skip ' + str(reason))
    sys.exit(0)


def bail_out(reason):
    """Stops prove itself."""
    _line('Bail out!  ' + str(reason))
    sys.exit(255)


def failures():
    """How many checks failed so far."""
    return _failed


def done():
    """The plan; exits."""
    _line('1..%d' % _count)
    if _failed:
        diag('%d of %d failed' % (_failed, _count))
    sys.exit(1 if _failed else 0)


def _excepthook(kind, value, trace):
    diag(''.join(traceback.format_exception(kind, value, trace)))


sys.excepthook = _excepthook
