import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.data.Stat;

/** Curator's recipes between three clients: containers, caches by persistent watches, latches. */
public class CuratorSession {
  public static void main(String[] arguments) throws Exception {
    String root = "/curator-" + Long.toHexString(System.nanoTime());
    List<CuratorFramework> clients = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      CuratorFramework client =
          CuratorFrameworkFactory.newClient(arguments[0], new RetryNTimes(5, 200));
      client.start();
      check(client.blockUntilConnected(30, TimeUnit.SECONDS), "connected");
      clients.add(client);
    }
    CuratorFramework first = clients.get(0);
    basics(first, root);
    cache(first, clients.get(1), root + "/cache");
    locks(clients, root);
    latch(clients, root + "/latch");
    counter(clients, root + "/counter");
    barrier(clients, root + "/barrier");
    node(first, clients.get(1), root + "/node");
    first.delete().deletingChildrenIfNeeded().forPath(root);
    for (CuratorFramework client : clients) client.close();
    System.out.println("done");
  }

  static void basics(CuratorFramework client, String root) throws Exception {
    Stat stat = new Stat();
    client
        .create()
        .storingStatIn(stat)
        .creatingParentContainersIfNeeded()
        .forPath(root + "/a/b/c", "x".getBytes());
    check(stat.getCzxid() > 0, "a Stat came back");
    String protectedPath =
        client.create().withProtection().withMode(CreateMode.EPHEMERAL_SEQUENTIAL)
            .forPath(root + "/a/p-");
    check(client.checkExists().forPath(protectedPath) != null, "protected node");
    client.create().orSetData().forPath(root + "/a/b/c", "y".getBytes());
    check(new String(client.getData().forPath(root + "/a/b/c")).equals("y"), "set");
    List<CuratorTransactionResult> results =
        client
            .transaction()
            .forOperations(
                client.transactionOp().create().forPath(root + "/t"),
                client.transactionOp().setData().forPath(root + "/t", "z".getBytes()),
                client.transactionOp().check().withVersion(1).forPath(root + "/t"),
                client.transactionOp().delete().forPath(root + "/t"));
    check(results.size() == 4, "transaction");
    CountDownLatch removed = new CountDownLatch(1);
    client
        .watchers()
        .add()
        .usingWatcher((org.apache.curator.framework.api.CuratorWatcher) e -> removed.countDown())
        .forPath(root + "/a");
    client.setData().forPath(root + "/a", "w".getBytes());
    check(removed.await(30, TimeUnit.SECONDS), "a persistent watch fires");
    client.watchers().removeAll().forPath(root + "/a");
  }

  static void cache(CuratorFramework reader, CuratorFramework writer, String root)
      throws Exception {
    writer.create().creatingParentsIfNeeded().forPath(root);
    BlockingQueue<String> events = new LinkedBlockingQueue<>();
    CuratorCache cache = CuratorCache.build(reader, root);
    cache
        .listenable()
        .addListener(
            CuratorCacheListener.builder()
                .forCreates(node -> events.add("created " + node.getPath()))
                .forChanges((old, node) -> events.add("changed " + node.getPath()))
                .forDeletes(node -> events.add("deleted " + node.getPath()))
                .build());
    cache.start();
    next(events, "created " + root);
    writer.create().forPath(root + "/x");
    next(events, "created " + root + "/x");
    writer.setData().forPath(root + "/x", "1".getBytes());
    next(events, "changed " + root + "/x");
    writer.create().forPath(root + "/x/y");
    next(events, "created " + root + "/x/y");
    writer.delete().deletingChildrenIfNeeded().forPath(root + "/x");
    next(events, "deleted " + root + "/x/y");
    next(events, "deleted " + root + "/x");
    cache.close();
  }

  static void next(BlockingQueue<String> events, String expected) throws Exception {
    String event = events.poll(30, TimeUnit.SECONDS);
    check(expected.equals(event), "found " + event + ", expected " + expected);
  }

  static void locks(List<CuratorFramework> clients, String root) throws Exception {
    InterProcessMutex mine = new InterProcessMutex(clients.get(0), root + "/mutex");
    InterProcessMutex yours = new InterProcessMutex(clients.get(1), root + "/mutex");
    mine.acquire();
    check(!yours.acquire(200, TimeUnit.MILLISECONDS), "the lock is held");
    mine.release();
    check(yours.acquire(30, TimeUnit.SECONDS), "the lock is free");
    yours.release();
    InterProcessReadWriteLock a = new InterProcessReadWriteLock(clients.get(0), root + "/rw");
    InterProcessReadWriteLock b = new InterProcessReadWriteLock(clients.get(1), root + "/rw");
    InterProcessReadWriteLock c = new InterProcessReadWriteLock(clients.get(2), root + "/rw");
    check(a.readLock().acquire(30, TimeUnit.SECONDS), "read");
    check(b.readLock().acquire(30, TimeUnit.SECONDS), "read beside it");
    check(!c.writeLock().acquire(200, TimeUnit.MILLISECONDS), "no write beside them");
    a.readLock().release();
    b.readLock().release();
    check(c.writeLock().acquire(30, TimeUnit.SECONDS), "write");
    c.writeLock().release();
    InterProcessSemaphoreV2 semaphore =
        new InterProcessSemaphoreV2(clients.get(2), root + "/semaphore", 2);
    check(semaphore.acquire(2, 30, TimeUnit.SECONDS) != null, "two leases");
    check(semaphore.acquire(200, TimeUnit.MILLISECONDS) == null, "no third");
  }

  static void latch(List<CuratorFramework> clients, String path) throws Exception {
    List<LeaderLatch> latches = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      LeaderLatch latch = new LeaderLatch(clients.get(i), path, "client-" + i);
      latch.start();
      latches.add(latch);
    }
    while (!latches.isEmpty()) {
      LeaderLatch leader = null;
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
      while (leader == null) {
        check(System.nanoTime() < deadline, "a leader comes");
        for (LeaderLatch latch : latches) if (latch.hasLeadership()) leader = latch;
        Thread.sleep(10);
      }
      leader.close();
      latches.remove(leader);
    }
  }

  static void counter(List<CuratorFramework> clients, String path) throws Exception {
    List<Thread> threads = new ArrayList<>();
    for (CuratorFramework client : clients) {
      Thread thread =
          new Thread(
              () -> {
                DistributedAtomicLong counter =
                    new DistributedAtomicLong(client, path, new RetryNTimes(100, 10));
                try {
                  for (int i = 0; i < 20; i++) {
                    check(counter.increment().succeeded(), "increment");
                  }
                } catch (Exception error) {
                  throw new AssertionError(error);
                }
              });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) thread.join();
    clients.get(0).sync().forPath(path);
    DistributedAtomicLong counter =
        new DistributedAtomicLong(clients.get(0), path, new RetryNTimes(100, 10));
    check(counter.get().postValue() == 60L, "found " + counter.get().postValue());
  }

  static void barrier(List<CuratorFramework> clients, String path) throws Exception {
    CountDownLatch through = new CountDownLatch(3);
    for (CuratorFramework client : clients) {
      new Thread(
              () -> {
                try {
                  DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(client, path, 3);
                  check(barrier.enter(30, TimeUnit.SECONDS), "entered");
                  check(barrier.leave(30, TimeUnit.SECONDS), "left");
                  through.countDown();
                } catch (Exception error) {
                  throw new AssertionError(error);
                }
              })
          .start();
    }
    check(through.await(60, TimeUnit.SECONDS), "all passed the barrier");
  }

  /** A node that its keeper makes anew whenever it is taken away. */
  static void node(CuratorFramework keeper, CuratorFramework other, String path)
      throws Exception {
    PersistentNode node =
        new PersistentNode(keeper, CreateMode.EPHEMERAL, false, path, "x".getBytes());
    node.start();
    check(node.waitForInitialCreate(30, TimeUnit.SECONDS), "created");
    other.sync().forPath(path);
    other.delete().forPath(path);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (other.checkExists().forPath(path) == null) {
      check(System.nanoTime() < deadline, "created anew");
      Thread.sleep(10);
    }
    node.close();
  }

  static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }
}
