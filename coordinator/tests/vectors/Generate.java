// Prints vectors made by Apache ZooKeeper's own record classes, so that the bytes do not come
// from the code they test. Run: java -cp /usr/share/java/zookeeper.jar Generate.java KIND
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.*;
import org.apache.zookeeper.data.*;
import org.apache.zookeeper.proto.*;

public class Generate {
    static final List<ACL> OPEN = ZooDefs.Ids.OPEN_ACL_UNSAFE;
    static final byte[] HI = "hi".getBytes();
    static final Stat STAT = new Stat(0x100000001L, 0x100000002L, 1000L, 2000L, 3, 4, 5, 0x1000000000000L, 2, 7, 0x100000003L);

    static void put(String what, String note, Record record) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        record.serialize(BinaryOutputArchive.getArchive(bytes), "");
        StringBuilder line = new StringBuilder();
        System.out.println("# " + note);
        System.out.println(what);
        int column = 0;
        for (byte b : bytes.toByteArray()) {
            line.append(String.format("%02x", b));
            if (++column % 32 == 0) line.append('\n'); else if (column % 4 == 0) line.append(' ');
        }
        if (line.length() > 0) System.out.println(line.toString().strip().replace(" \n", "\n"));
        System.out.println("=\n");
    }

    static List<ACL> acls(Object... parts) {
        List<ACL> list = new ArrayList<>();
        for (int i = 0; i < parts.length; i += 3)
            list.add(new ACL((Integer) parts[i], new Id((String) parts[i + 1], (String) parts[i + 2])));
        return list;
    }

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "handshake": handshake(); break;
            case "requests": requests(); break;
            case "replies": replies(); break;
            default: throw new IllegalArgumentException(args[0]);
        }
    }

    static void handshake() throws Exception {
        byte[] password = new byte[16];
        for (int i = 0; i < 16; i++) password[i] = (byte) (i + 1);
        put("connect-request", "a new session, the 44-byte form; clients since 3.4 append a byte themselves", new ConnectRequest(0, 0, 30000, 0, new byte[16]));
        put("connect-request", "back to a session", new ConnectRequest(0, 0x200000005L, 18000, 0x100aabbccdd0001L, password));
        put("connect-request", "no password at all is legal for a new session", new ConnectRequest(0, 0, 10000, 0, null));
        put("connect-request", "nor is an empty one refused", new ConnectRequest(0, 0, 10000, 0, new byte[0]));
        put("connect-response", "accepted", new ConnectResponse(0, 18000, 0x100aabbccdd0001L, password));
        put("connect-response", "expired: timeout, session and password are zero", new ConnectResponse(0, 0, 0, new byte[16]));
    }

    static void requests() throws Exception {
        put("request-header", "the first request of a client, a create", new RequestHeader(1, 1));
        put("request-header", "a ping", new RequestHeader(-2, 11));
        put("request-header", "an operation no one knows can still be represented", new RequestHeader(7, 999));
        put("request 1", "create, persistent, open to all", new CreateRequest("/a", HI, OPEN, 0));
        put("request 1", "create, ephemeral with null data, as Kafka registers a broker", new CreateRequest("/brokers/ids/1", null, OPEN, 1));
        put("request 1", "create with empty data is not create with null data", new CreateRequest("/a", new byte[0], OPEN, 2));
        put("request 1", "create with several ACL entries", new CreateRequest("/a", HI, acls(31, "auth", "", 1, "digest", "u:hash", 16, "ip", "10.0.0.0/8"), 3));
        put("request 1", "create with an empty ACL list: for apply to refuse", new CreateRequest("/a", HI, acls(), 0));
        put("request 1", "create with a null ACL list: for apply to refuse", new CreateRequest("/a", HI, null, 0));
        put("request 1", "create with flags no one knows: for apply to refuse", new CreateRequest("/a", HI, OPEN, 77));
        put("request 15", "create2", new CreateRequest("/a", HI, OPEN, 2));
        put("request 19", "createContainer", new CreateRequest("/c", null, OPEN, 4));
        put("request 21", "createTTL", new CreateTTLRequest("/t", HI, OPEN, 5, 60000L));
        put("request 2", "delete, any version", new DeleteRequest("/a", -1));
        put("request 3", "exists with watch", new ExistsRequest("/controller", true));
        put("request 4", "getData without watch", new GetDataRequest("/a", false));
        put("request 5", "setData", new SetDataRequest("/a", HI, 4));
        put("request 5", "setData to null", new SetDataRequest("/a", null, -1));
        put("request 6", "getACL", new GetACLRequest("/a"));
        put("request 7", "setACL", new SetACLRequest("/a", acls(1, "world", "anyone"), 0));
        put("request 8", "getChildren", new GetChildrenRequest("/", true));
        put("request 9", "sync", new SyncRequest("/a"));
        put("request 12", "getChildren2", new GetChildren2Request("/", false));
        put("request 13", "check", new CheckVersionRequest("/a", 6));
        put("request 16", "reconfig, incremental", new ReconfigRequest("server.4=d:1:2;3", "2,3", null, -1));
        put("request 17", "checkWatches, children", new CheckWatchesRequest("/a", 1));
        put("request 18", "removeWatches, any", new RemoveWatchesRequest("/a", 3));
        put("request 100", "auth", new AuthPacket(0, "digest", "u:p".getBytes()));
        put("request 101", "setWatches", new SetWatches(0x100000009L, Arrays.asList("/d1", "/d2"), Arrays.asList("/e"), Arrays.asList()));
        put("request 102", "sasl token", new GetSASLRequest(new byte[] {1, 2}));
        put("request 103", "getEphemerals", new GetEphemeralsRequest("/a"));
        put("request 104", "getAllChildrenNumber", new GetAllChildrenNumberRequest("/"));
        put("request 105", "setWatches2", new SetWatches2(0x100000009L, Arrays.asList("/d"), Arrays.asList(), Arrays.asList("/c"), Arrays.asList("/p"), Arrays.asList("/r", "/s")));
        put("request 106", "addWatch, recursive", new AddWatchRequest("/a", 1));
        put("request 107", "whoAmI has no body", new EmptyRecord());
        put("request 14", "multi: every write it may hold", new MultiOperationRecord(Arrays.asList(
            Op.check("/epoch", 3), Op.create("/a", HI, OPEN, CreateMode.PERSISTENT), Op.setData("/a", null, 0),
            Op.create("/c", null, OPEN, CreateMode.CONTAINER), Op.create("/t", HI, OPEN, CreateMode.PERSISTENT_WITH_TTL, 1000),
            Op.delete("/a", -1))));
        put("request 14", "multi: empty, the end header only", new MultiOperationRecord());
        put("request 22", "multiRead", new MultiOperationRecord(Arrays.asList(Op.getData("/a"), Op.getChildren("/"))));
    }

    static class EmptyRecord implements Record {
        public void serialize(org.apache.jute.OutputArchive archive, String tag) {}
        public void deserialize(org.apache.jute.InputArchive archive, String tag) {}
    }

    static MultiResponse results(OpResult... all) {
        MultiResponse response = new MultiResponse();
        for (OpResult result : all) response.add(result);
        return response;
    }

    static void replies() throws Exception {
        put("reply-header", "success", new ReplyHeader(5, 0x100000007L, 0));
        put("reply-header", "no node", new ReplyHeader(6, 0x100000007L, -101));
        put("event", "a watch has fired", new WatcherEvent(3, 3, "/a"));
        put("reply 1", "create", new CreateResponse("/a0000000003"));
        put("reply 15", "create2", new Create2Response("/a", STAT));
        put("reply 19", "createContainer", new Create2Response("/c", STAT));
        put("reply 21", "createTTL", new Create2Response("/t", STAT));
        put("reply 3", "exists", new ExistsResponse(STAT));
        put("reply 4", "getData", new GetDataResponse(HI, STAT));
        put("reply 4", "getData of null", new GetDataResponse(null, STAT));
        put("reply 4", "getData of nothing, which is not null", new GetDataResponse(new byte[0], STAT));
        put("reply 5", "setData", new SetDataResponse(STAT));
        put("reply 6", "getACL", new GetACLResponse(acls(31, "world", "anyone", 1, "digest", "u:x"), STAT));
        put("reply 7", "setACL", new SetACLResponse(STAT));
        put("reply 8", "getChildren", new GetChildrenResponse(Arrays.asList("b", "a")));
        put("reply 9", "sync", new SyncResponse("/a"));
        put("reply 12", "getChildren2 of a childless node", new GetChildren2Response(Arrays.asList(), STAT));
        put("reply 102", "sasl token", new SetSASLResponse(new byte[] {9}));
        put("reply 103", "getEphemerals", new GetEphemeralsResponse(Arrays.asList("/e1", "/e2")));
        put("reply 104", "getAllChildrenNumber", new GetAllChildrenNumberResponse(42));
        put("reply 106", "addWatch: four bytes, or Java drops the connection", new ErrorResponse(0));
        put("reply 107", "whoAmI", new WhoAmIResponse(Arrays.asList(new ClientInfo("ip", "127.0.0.1"), new ClientInfo("digest", "u"))));
        put("reply 14", "multi: all well", results(new OpResult.CheckResult(), new OpResult.CreateResult("/a"), new OpResult.SetDataResult(STAT), new OpResult.DeleteResult()));
        put("reply 14", "multi: create2 inside", results(new OpResult.CreateResult("/c", STAT)));
        put("reply 14", "multi: the second failed, the first is rolled back, the third was not tried", results(new OpResult.ErrorResult(0), new OpResult.ErrorResult(-103), new OpResult.ErrorResult(-2)));
        put("reply 14", "multi: empty", results());
        put("reply 22", "multiRead: an error does not stop the rest", results(new OpResult.GetDataResult(HI, STAT), new OpResult.ErrorResult(-101), new OpResult.GetChildrenResult(Arrays.asList("x"))));
    }
}
