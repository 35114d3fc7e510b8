import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Every operation of the plain Java client once, and the ways in which Kafka uses them. */
public class ClientSession {
  static String hosts;

  public static void main(String[] arguments) throws Exception {
    hosts = arguments[0];
    String root = "/java-" + Long.toHexString(System.nanoTime());
    try (ZooKeeper zk = connect()) {
      zk.create(root, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
      data(zk, root);
      creates(zk, root);
      multi(zk, root);
      watches(zk, root);
      persistentWatches(zk, root);
      pipelined(zk, root);
      kafka(zk, root);
      auth(zk, root);
      resume(root);
    }
    System.out.println("done");
  }

  static Leaver connect() throws Exception {
    Leaver zk = new Leaver();
    check(zk.connected.await(30, TimeUnit.SECONDS), "connected");
    return zk;
  }

  static void data(ZooKeeper zk, String root) throws Exception {
    Stat stat = new Stat();
    check(zk.getData(root, false, stat) == null, "null data stays null");
    equal(stat.getDataLength(), 0);
    Stat set = zk.setData(root, "x".getBytes(), 0);
    equal(set.getVersion(), 1);
    check(set.getMzxid() > set.getCzxid(), "a write has a later zxid");
    fails(Code.BADVERSION, () -> zk.setData(root, null, 0));
    fails(Code.NONODE, () -> zk.getData(root + "/none", false, null));
    check(zk.exists(root + "/none", false) == null, "exists of nothing");
    zk.setData(root, new byte[0], -1);
    equal(zk.getData(root, false, null).length, 0);
    CountDownLatch synced = new CountDownLatch(1);
    zk.sync(root, (code, path, context) -> synced.countDown(), null);
    check(synced.await(30, TimeUnit.SECONDS), "sync");
  }

  static void creates(ZooKeeper zk, String root) throws Exception {
    byte[] none = {};
    Stat stat = new Stat();
    equal(
        zk.create(root + "/s-", none, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL, stat),
        root + "/s-0000000000");
    check(stat.getCzxid() > 0, "create2 brings a Stat");
    zk.create(root + "/c", none, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
    zk.create(root + "/t", none, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, null, 60000);
    equal(
        zk.create(
            root + "/t-", none, Ids.OPEN_ACL_UNSAFE,
            CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, null, 60000),
        root + "/t-0000000003");
    equal(zk.exists(root + "/c", false).getEphemeralOwner(), 0L);
    equal(zk.exists(root + "/t", false).getEphemeralOwner(), 0L);
    zk.create(root + "/e", none, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    equal(zk.exists(root + "/e", false).getEphemeralOwner(), zk.getSessionId());
    equal(zk.getEphemerals(root), List.of(root + "/e"));
    fails(
        Code.NOCHILDRENFOREPHEMERALS,
        () -> zk.create(root + "/e/x", none, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    fails(
        Code.NODEEXISTS,
        () -> zk.create(root + "/c", none, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    fails(Code.NOTEMPTY, () -> zk.delete(root, -1));
    equal(zk.getAllChildrenNumber(root), 5);
    List<String> children = zk.getChildren(root, false, stat);
    children.sort(null);
    equal(children, Arrays.asList("c", "e", "s-0000000000", "t", "t-0000000003"));
    equal(stat.getCversion(), 5);
    equal(stat.getNumChildren(), 5);
    for (String child : children) zk.delete(root + "/" + child, -1);
    equal(zk.exists(root, false).getCversion(), 10);
  }

  static void multi(ZooKeeper zk, String root) throws Exception {
    List<OpResult> results =
        zk.multi(
            List.of(
                Op.create(root + "/m", "1".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.setData(root + "/m", "2".getBytes(), 0),
                Op.check(root + "/m", 1),
                Op.delete(root + "/m", 1)));
    equal(results.size(), 4);
    equal(((OpResult.CreateResult) results.get(0)).getPath(), root + "/m");
    equal(((OpResult.SetDataResult) results.get(1)).getStat().getVersion(), 1);
    try {
      zk.multi(
          List.of(
              Op.create(root + "/n", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
              Op.delete(root + "/none", -1),
              Op.check(root, -1)));
      check(false, "a failing multi fails");
    } catch (KeeperException error) {
      equal(error.code(), Code.NONODE);
      List<Integer> codes = new ArrayList<>();
      for (OpResult result : error.getResults()) {
        codes.add(((OpResult.ErrorResult) result).getErr());
      }
      equal(codes, List.of(0, Code.NONODE.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()));
    }
    check(zk.exists(root + "/n", false) == null, "nothing of it is there");
    equal(zk.multi(List.of()).size(), 0);
    List<OpResult> reads =
        zk.multi(List.of(Op.getData(root), Op.getChildren(root), Op.getData(root + "/none")));
    equal(((OpResult.GetChildrenResult) reads.get(1)).getChildren(), List.of());
    equal(((OpResult.ErrorResult) reads.get(2)).getErr(), Code.NONODE.intValue());
  }

  static void watches(ZooKeeper zk, String root) throws Exception {
    BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
    Watcher watcher = events::add;
    zk.exists(root + "/w", watcher);
    zk.getChildren(root, watcher);
    zk.create(root + "/w", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    event(events, EventType.NodeCreated, root + "/w");
    event(events, EventType.NodeChildrenChanged, root);
    zk.getData(root + "/w", watcher, null);
    zk.setData(root + "/w", null, -1);
    event(events, EventType.NodeDataChanged, root + "/w");
    zk.setData(root + "/w", null, -1);
    zk.getData(root + "/w", watcher, null);
    zk.getChildren(root + "/w", watcher);
    zk.delete(root + "/w", -1);
    event(events, EventType.NodeDeleted, root + "/w");
    // Two registrations, one event on the wire; the client tells each kind once.
    events.poll(200, TimeUnit.MILLISECONDS);
    check(events.isEmpty(), "one-shot watches are gone");
    zk.getData(root, watcher, null);
    zk.removeWatches(root, watcher, Watcher.WatcherType.Data, false);
    event(events, EventType.DataWatchRemoved, root);
    fails(
        Code.NOWATCHER, () -> zk.removeWatches(root, watcher, Watcher.WatcherType.Children, false));
  }

  static void persistentWatches(ZooKeeper zk, String root) throws Exception {
    BlockingQueue<WatchedEvent> one = new LinkedBlockingQueue<>();
    BlockingQueue<WatchedEvent> all = new LinkedBlockingQueue<>();
    Watcher oneWatcher = one::add;
    Watcher allWatcher = all::add;
    zk.create(root + "/p", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    zk.addWatch(root + "/p", oneWatcher, AddWatchMode.PERSISTENT);
    for (int i = 0; i < 3; i++) {
      zk.setData(root + "/p", null, -1);
      event(one, EventType.NodeDataChanged, root + "/p");
    }
    zk.create(root + "/p/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    event(one, EventType.NodeChildrenChanged, root + "/p");
    zk.removeWatches(root + "/p", oneWatcher, Watcher.WatcherType.Any, false);
    zk.addWatch(root, allWatcher, AddWatchMode.PERSISTENT_RECURSIVE);
    zk.setData(root + "/p/c", null, -1);
    event(all, EventType.NodeDataChanged, root + "/p/c");
    zk.create(root + "/p/c/d", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    event(all, EventType.NodeCreated, root + "/p/c/d");
    zk.delete(root + "/p/c/d", -1);
    event(all, EventType.NodeDeleted, root + "/p/c/d");
    check(all.isEmpty(), "a recursive watch tells no changes of children");
    zk.removeWatches(root, allWatcher, Watcher.WatcherType.Any, false);
    zk.delete(root + "/p/c", -1);
    zk.delete(root + "/p", -1);
  }

  /** Replies come in the order of the requests, whatever they ask. */
  static void pipelined(ZooKeeper zk, String root) throws Exception {
    List<Integer> order = new ArrayList<>();
    CountDownLatch all = new CountDownLatch(300);
    for (int i = 0; i < 100; i++) {
      int number = 3 * i;
      zk.setData(root, ("" + i).getBytes(), -1, (c, p, x, s) -> note(order, number, all), null);
      byte[] expected = ("" + i).getBytes();
      zk.getData(
          root,
          false,
          (code, path, context, found, stat) -> {
            check(Arrays.equals(expected, found), "a read sees the write before it");
            note(order, number + 1, all);
          },
          null);
      zk.exists("/none", false, (c, p, x, s) -> note(order, number + 2, all), null);
    }
    check(all.await(60, TimeUnit.SECONDS), "all replies came");
    for (int i = 0; i < 300; i++) equal(order.get(i), i);
  }

  static void note(List<Integer> order, int number, CountDownLatch all) {
    order.add(number);
    all.countDown();
  }

  /** A broker's registration and the controller's election. */
  static void kafka(ZooKeeper zk, String root) throws Exception {
    String id = root + "/broker";
    List<OpResult> results =
        zk.multi(
            List.of(
                Op.create(id, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
                Op.setData(id, "{}".getBytes(), 0)));
    Stat stat = ((OpResult.SetDataResult) results.get(1)).getStat();
    equal(stat.getVersion(), 1);
    equal(stat.getEphemeralOwner(), zk.getSessionId());
    long epoch = stat.getCzxid();
    zk.delete(id, -1);
    results =
        zk.multi(
            List.of(
                Op.create(id, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
                Op.setData(id, "{}".getBytes(), 0)));
    check(((OpResult.SetDataResult) results.get(1)).getStat().getCzxid() > epoch, "epochs grow");
    zk.create(root + "/epoch", "0".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    fails(
        Code.NODEEXISTS,
        () ->
            zk.multi(
                List.of(
                    Op.create(id, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
                    Op.setData(root + "/epoch", "1".getBytes(), 0))));
    fails(
        Code.BADVERSION,
        () ->
            zk.multi(
                List.of(
                    Op.check(root + "/epoch", 7),
                    Op.setData(root + "/epoch", "1".getBytes(), 0))));
    for (int i = 1; i <= 3; i++) {
      equal(zk.setData(root + "/epoch", new byte[0], -1).getVersion(), i);
    }
    zk.delete(root + "/epoch", -1);
    zk.delete(id, -1);
  }

  static void auth(ZooKeeper zk, String root) throws Exception {
    String path = root + "/acl";
    if (Boolean.getBoolean("zookeeper.client.secure")) {
      // Its certificate is an identity, and every other connection here has it, too.
      zk.create(path, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
      equal(zk.getACL(path, null).get(0).getId().getScheme(), "x509");
      equal(zk.getACL(path, null).get(0).getId().getId(), "CN=broker one,O=Acme\\, Inc.,C=DE");
      zk.delete(path, -1);
      return;
    }
    fails(
        Code.INVALIDACL,
        () -> zk.create(path, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    zk.addAuthInfo("digest", "user:secret".getBytes());
    zk.create(path, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
    equal(zk.getACL(path, null).get(0).getId().getScheme(), "digest");
    try (ZooKeeper stranger = connect()) {
      stranger.sync(root, (code, synced, context) -> {}, null);
      fails(Code.NOAUTH, () -> stranger.getData(path, false, null));
      check(stranger.exists(path, false) != null, "exists asks no permission");
    }
    equal(zk.setACL(path, Ids.OPEN_ACL_UNSAFE, 0).getAversion(), 1);
    zk.delete(path, -1);
  }

  /** A session that is resumed by id and password keeps its ephemerals; a wrong one expires. */
  static void resume(String root) throws Exception {
    Leaver first = connect();
    first.create(root + "/mine", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
    // Two that hold one session take it from each other for ever.
    first.leave();
    CountDownLatch connected = new CountDownLatch(1);
    ZooKeeper second =
        new ZooKeeper(
            hosts,
            18000,
            event -> {
              if (event.getState() == KeeperState.SyncConnected) connected.countDown();
            },
            first.getSessionId(),
            first.getSessionPasswd());
    check(connected.await(30, TimeUnit.SECONDS), "resumed");
    equal(second.getSessionId(), first.getSessionId());
    equal(second.exists(root + "/mine", false).getEphemeralOwner(), first.getSessionId());
    CountDownLatch expired = new CountDownLatch(1);
    ZooKeeper wrong =
        new ZooKeeper(
            hosts,
            18000,
            event -> {
              if (event.getState() == KeeperState.Expired) expired.countDown();
            },
            first.getSessionId(),
            new byte[16]);
    check(expired.await(30, TimeUnit.SECONDS), "a wrong password is told as expiry");
    wrong.close();
    // Apache ZooKeeper ends a session's connection before it looks at the newcomer's password.
    patiently(() -> equal(second.exists(root + "/mine", false).getDataLength(), 0));
    second.delete(root + "/mine", -1);
    second.delete(root, -1);
    second.close();
  }

  /** A client that can go without a word to its server. */
  static class Leaver extends ZooKeeper {
    final CountDownLatch connected;

    Leaver() throws Exception {
      this(new CountDownLatch(1));
    }

    private Leaver(CountDownLatch connected) throws Exception {
      super(
          hosts,
          18000,
          event -> {
            if (event.getState() == KeeperState.SyncConnected) connected.countDown();
          });
      this.connected = connected;
    }

    void leave() throws Exception {
      cnxn.disconnect();
    }
  }

  /** A read, until the client has a connection again. */
  static void patiently(Call read) throws Exception {
    long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (true) {
      try {
        read.run();
        return;
      } catch (KeeperException.ConnectionLossException lost) {
        check(System.nanoTime() < until, "connected again");
        Thread.sleep(20);
      }
    }
  }

  interface Call {
    void run() throws Exception;
  }

  static void fails(Code code, Call call) throws Exception {
    try {
      call.run();
    } catch (KeeperException error) {
      equal(error.code(), code);
      return;
    }
    throw new AssertionError("expected " + code);
  }

  static void event(BlockingQueue<WatchedEvent> events, EventType type, String path)
      throws Exception {
    WatchedEvent event = events.poll(30, TimeUnit.SECONDS);
    check(event != null, "no event " + type + " " + path);
    equal(event.getType(), type);
    equal(event.getPath(), path);
  }

  static void equal(Object found, Object expected) {
    if (!found.equals(expected)) {
      throw new AssertionError("found " + found + ", expected " + expected);
    }
  }

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }
}
