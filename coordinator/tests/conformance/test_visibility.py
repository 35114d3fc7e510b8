"""What a write that one server has acknowledged looks like through another: as soon as a quorum has
it here, for certain behind a `sync`, on both engines."""

import time

import ensemble as ensembles
import raw

SYNC = 9
ROUNDS = 60


def test_behind_a_sync_everything_acknowledged_is_seen(engine):
    with ensembles.Ensemble(engine, 3) as running:
        writer, reader = (raw.open_session(server.client_port) for server in running.followers())
        at_once, lags = 0, []
        for n in range(ROUNDS):
            path = b"/seen-%d" % n
            assert writer.call(raw.CREATE, raw.create_body(path))[0] == 0
            began = time.perf_counter()
            exists = lambda path=path: reader.call(raw.EXISTS, raw.buffer(path) + b"\0")[0] == 0
            if exists():
                at_once += 1
            else:
                while not exists():
                    assert time.perf_counter() - began < 10
            lags.append((time.perf_counter() - began) * 1000)
        lags.sort()
        print(f"seen by the first read: {at_once} of {ROUNDS}; last read after {lags[ROUNDS // 2]:.2f} ms (median), "
              f"{lags[ROUNDS * 9 // 10]:.2f} ms (p90), {lags[-1]:.2f} ms (greatest)")  # fmt: skip
        for n in range(ROUNDS):
            path = b"/synced-%d" % n
            assert writer.call(raw.CREATE, raw.create_body(path))[0] == 0
            assert reader.call(SYNC, raw.buffer(path))[0] == 0
            assert reader.call(raw.EXISTS, raw.buffer(path) + b"\0")[0] == 0, f"round {n}"
