package org.apache.curator.test;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;

/**
 * Stands before the class of this name in Curator's test library, and starts a coordinator as a process where that one
 * starts Apache ZooKeeper within the tests' own. What tests set in the JVM becomes lines of its file.
 */
public class ZooKeeperServerEmbeddedAdapter implements ZooKeeperMainFace {
    private static final int START_SECONDS = 60;
    private static final int STOP_SECONDS = 20;

    private volatile Process server;
    private volatile int port;

    @Override
    public void start(QuorumPeerConfigBuilder builder) {
        try {
            Properties properties = builder.buildProperties();
            properties.putIfAbsent("admin.enableServer", "false");
            properties.putIfAbsent("4lw.commands.whitelist", "*");
            for (String name : System.getProperties().stringPropertyNames()) {
                if (name.startsWith("znode.container.") || name.startsWith("readonlymode.")) {
                    properties.put(name, System.getProperty(name));
                } else if (name.startsWith("zookeeper.") && !name.contains("jmx") && !name.startsWith("zookeeper.sasl")) {
                    properties.put(name.substring("zookeeper.".length()), System.getProperty(name));
                }
            }
            if (QuorumPeerConfig.isReconfigEnabled()) {
                properties.put("reconfigEnabled", "true");
            }
            port = Integer.parseInt(properties.getProperty("clientPort"));
            if (port == 0) {
                try (ServerSocket free = new ServerSocket(0)) {
                    port = free.getLocalPort();
                }
                properties.put("clientPort", Integer.toString(port));
            }
            Path data = Paths.get(properties.getProperty("dataDir"));
            Files.createDirectories(data);
            Path file = data.resolve("coordinator.cfg");
            StringBuilder lines = new StringBuilder();
            properties.forEach((key, value) -> lines.append(key).append('=').append(value).append('\n'));
            Files.write(file, lines.toString().getBytes(StandardCharsets.UTF_8));
            server = new ProcessBuilder(System.getenv("COORDINATOR"), "serve", file.toString())
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(Paths.get(System.getenv("SERVERS_LOG")).toFile()))
                    .start();
            boolean alone = properties.stringPropertyNames().stream().noneMatch(key -> key.startsWith("server."));
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
            while (alone ? !serves() : !listens()) {
                if (!server.isAlive()) {
                    throw new IOException("the coordinator ended with " + server.exitValue() + ", see $SERVERS_LOG: " + lines);
                }
                if (System.nanoTime() > deadline) {
                    throw new IOException("the coordinator does not serve: " + lines);
                }
                Thread.sleep(10);
            }
        } catch (Exception error) {
            close();
            throw new FailedServerStartException(error);
        }
    }

    /** One of several waits for nobody: the others may not have been started yet. */
    private boolean listens() {
        return ask("ruok").contains("imok");
    }

    private boolean serves() {
        return ask("srvr").contains("Mode:");
    }

    private String ask(String word) {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress("127.0.0.1", port), 1000);
            socket.setSoTimeout(1000);
            OutputStream out = socket.getOutputStream();
            out.write(word.getBytes(StandardCharsets.US_ASCII));
            out.flush();
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException error) {
            return "";
        }
    }

    @Override
    public int getClientPort() {
        return port;
    }

    @Override
    public void kill() {
        end(true);
    }

    @Override
    public void close() {
        end(false);
    }

    private synchronized void end(boolean kill) {
        if (server == null) {
            return;
        }
        try {
            if (kill) {
                server.destroyForcibly();
            } else {
                server.destroy();
            }
            if (!server.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                server.destroyForcibly().waitFor();
            }
        } catch (InterruptedException error) {
            server.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        server = null;
    }
}
