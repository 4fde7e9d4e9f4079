# What deploy/ has, as far as the tools that are here can check it; and two replicas
# behind HAProxy of which one is killed, then one ended in order.
exec sh "$QUERN_SOURCE_DIR/deploy/check" --failover
