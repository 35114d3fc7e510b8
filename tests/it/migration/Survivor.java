import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** The session of Apache ZooKeeper's own client through a move: as survivor.py, without a lock. */
public class Survivor {
  static final String ROOT = "/java";

  public static void main(String[] arguments) throws Exception {
    CountDownLatch connected = new CountDownLatch(1);
    CountDownLatch fired = new CountDownLatch(1);
    AtomicInteger disconnected = new AtomicInteger();
    List<String> wrong = new ArrayList<>();
    ZooKeeper zk =
        new ZooKeeper(
            arguments[0],
            18000,
            event -> {
              if (event.getState() == KeeperState.SyncConnected) connected.countDown();
              if (event.getState() == KeeperState.Disconnected) disconnected.incrementAndGet();
            });
    if (!connected.await(30, TimeUnit.SECONDS)) throw new AssertionError("not connected");
    long session = zk.getSessionId();
    create(zk, ROOT, CreateMode.PERSISTENT);
    create(zk, ROOT + "/held", CreateMode.EPHEMERAL);
    create(zk, ROOT + "/watched", CreateMode.PERSISTENT);
    zk.getData(
        ROOT + "/watched",
        event -> {
          if (event.getType() == EventType.NodeDataChanged) fired.countDown();
        },
        null);
    CountDownLatch ended = new CountDownLatch(1);
    Thread reader =
        new Thread(
            () -> {
              try {
                while (System.in.read() >= 0) {}
              } catch (java.io.IOException error) {
                wrong.add(error.toString());
              }
              ended.countDown();
            });
    reader.setDaemon(true);
    reader.start();
    System.out.println("ready");

    int acknowledged = 0;
    long newest = 0;
    long longest = 0;
    while (ended.getCount() > 0) {
      String path = ROOT + "/" + acknowledged;
      long begun = System.nanoTime();
      create(zk, path, CreateMode.PERSISTENT);
      Stat stat = stubborn(() -> zk.exists(path, false));
      longest = Math.max(longest, System.nanoTime() - begun);
      acknowledged++;
      if (stat == null || stat.getCzxid() <= newest) {
        wrong.add(path + ": " + stat + ", behind " + newest);
        break;
      }
      newest = stat.getCzxid();
    }

    Set<String> there = new HashSet<>(stubborn(() -> zk.getChildren(ROOT, false)));
    int lost = 0;
    for (int number = 0; number < acknowledged; number++) {
      if (!there.contains("" + number)) lost++;
    }
    Stat held = stubborn(() -> zk.exists(ROOT + "/held", false));
    if (zk.getSessionId() != session || held == null || held.getEphemeralOwner() != session) {
      wrong.add("the session or its ephemeral is gone: " + held);
    }
    stubborn(() -> zk.setData(ROOT + "/watched", new byte[1], -1));
    if (!fired.await(30, TimeUnit.SECONDS)) wrong.add("the watch was not told");
    System.out.printf(
        "Java: %d acknowledged, %d lost, longest wait %d ms, %d times disconnected; %s%n",
        acknowledged, lost, longest / 1_000_000, disconnected.get(), wrong);
    zk.close();
    System.exit(wrong.isEmpty() && lost == 0 && acknowledged > 0 ? 0 : 1);
  }

  /** Sent again for as long as the connection ends under it. */
  static void create(ZooKeeper zk, String path, CreateMode mode) throws Exception {
    boolean sentBefore = false;
    while (true) {
      try {
        zk.create(path, "x".getBytes(), Ids.OPEN_ACL_UNSAFE, mode);
        return;
      } catch (KeeperException.ConnectionLossException error) {
        sentBefore = true;
      } catch (KeeperException.NodeExistsException error) {
        if (!sentBefore) throw error;
        return;
      }
    }
  }

  static <T> T stubborn(Callable<T> call) throws Exception {
    while (true) {
      try {
        return call.call();
      } catch (KeeperException.ConnectionLossException error) {
        Thread.sleep(10);
      }
    }
  }
}
