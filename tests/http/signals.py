"""signals.py QUERN MODEL

Starts servers and sends them signals while they answer.
"""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

quern, model = sys.argv[1:]
PATIENCE = 400  # seconds, not what is expected
folder = tempfile.TemporaryDirectory()


class Server:
    """A running one; its log is read by a thread."""

    def __init__(self, *options):
        self.log = []
        self.process = subprocess.Popen(
            [quern, 'serve', '--model', model, '--port', '0', '--access-log',
             'none', *options], stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.port = int(self.says(r'quern serves .* on http://\S+:(\d+) ')[1])

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)

    def says(self, pattern):
        return until(lambda: re.search(pattern, ''.join(self.log)), pattern)

    def signal(self, which):
        self.process.send_signal(which)

    def ends(self):
        assert self.process.wait(PATIENCE) == 0, ''.join(self.log)

    def ask(self, method, path, body=None, key=''):
        c = http.client.HTTPConnection('127.0.0.1', self.port,
                                       timeout=PATIENCE)
        c.request(method, path, json.dumps(body) if body else None,
                  {'Authorization': 'Bearer ' + key} if key else {})
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r.headers, text

    def status(self, method, path, **more):
        return self.ask(method, path, **more)[0]


class Stream(threading.Thread):
    """An answer of n tokens, under way when the constructor returns."""

    def __init__(self, server, n):
        super().__init__(daemon=True)
        self.begun, self.text = threading.Event(), b''
        self.c = http.client.HTTPConnection('127.0.0.1', server.port)
        self.c.request('POST', '/v1/completions', json.dumps(
            {'prompt': 'Once', 'max_tokens': n, 'ignore_eos': True,
             'stream': True}))
        self.start()
        assert self.begun.wait(PATIENCE)

    def run(self):
        try:
            r = self.c.getresponse()
            while part := r.read1(4096):
                self.text += part
                self.begun.set()
        except (http.client.HTTPException, OSError):
            pass

    def is_whole(self):
        self.join(PATIENCE)
        return self.text.endswith(b'data: [DONE]\n\n')


def until(what, name):
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < end, 'it took too long: ' + name
        time.sleep(0.02)
    return found


def test_drain():
    """What runs ends in peace, nothing new begins."""
    s = Server('--drain-timeout', '600')
    stream = Stream(s, 300)
    s.signal(signal.SIGTERM)
    until(lambda: s.status('GET', '/ready') == 503, 'draining')
    assert s.status('GET', '/health') == 200
    status, headers, _ = s.ask('POST', '/v1/completions', {'prompt': 'a'})
    assert status == 503 and int(headers['Retry-After']) > 0
    assert stream.is_whole(), stream.text[-200:]
    s.ends()


def test_drain_timeout():
    """But not for longer than it may."""
    s = Server('--drain-timeout', '0.2')
    stream = Stream(s, 1000)
    s.signal(signal.SIGTERM)
    s.ends()
    assert not stream.is_whole()


def test_second_signal():
    """A second one ends it at once."""
    s = Server('--drain-timeout', '600')
    stream = Stream(s, 1000)
    s.signal(signal.SIGINT)
    until(lambda: s.status('GET', '/ready') == 503, 'draining')
    s.signal(signal.SIGINT)
    s.ends()
    assert not stream.is_whole()


def test_ignored():
    """Who is started with SIGINT ignored, in the background, goes on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    s = Server('--drain-timeout', '600')
    signal.signal(signal.SIGINT, before)
    s.signal(signal.SIGINT)
    time.sleep(0.5)
    assert s.status('GET', '/ready') == 200
    s.signal(signal.SIGTERM)
    s.ends()


def test_keys():
    """SIGHUP reads the keys again."""
    path = os.path.join(folder.name, 'keys')
    with open(path, 'w') as f:
        f.write('first-key\n')
    s = Server('--api-key-file', path)
    assert s.status('GET', '/v1/models', key='first-key') == 200
    with open(path, 'w') as f:
        f.write('second-key\n')
    s.signal(signal.SIGHUP)
    s.says('reloaded')
    assert s.status('GET', '/v1/models', key='first-key') == 401
    assert s.status('GET', '/v1/models', key='second-key') == 200
    s.signal(signal.SIGTERM)
    s.ends()


def test_after_a_crash():
    """Socket files that nobody listens on are replaced, others are not."""
    path = os.path.join(folder.name, 'socket')
    s = Server('--unix-socket', path, '--admin-socket', path + '.admin')
    s.process.kill()
    s.process.wait()
    assert os.path.exists(path) and os.path.exists(path + '.admin')
    s = Server('--unix-socket', path, '--admin-socket', path + '.admin')
    other = subprocess.run([quern, 'serve', '--model', model, '--port', '0',
                            '--unix-socket', path], capture_output=True,
                           text=True, timeout=PATIENCE)
    assert other.returncode != 0 and 'another server' in other.stderr
    s.signal(signal.SIGTERM)
    s.ends()
    assert not os.path.exists(path) and not os.path.exists(path + '.admin')


def test_warning():
    """Who listens to others without keys is told so."""
    s = Server('--host', '0.0.0.0')
    s.says('without API keys: whoever reaches this address')
    s.signal(signal.SIGTERM)
    s.ends()


for name, test in list(globals().items()):
    if name.startswith('test_'):
        test()
        print('ok', name)
