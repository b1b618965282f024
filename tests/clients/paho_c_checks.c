/* paho C, 3.1.1 and 5.0, against a broker: paho_c_checks URI */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <MQTTClient.h>

#define PATIENCE_S 60
#define ROOM 20000

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #what, doing); \
            exit(1); \
        } \
    } while (0)

static char uri[64];
static char doing[64] = "start";

/* A client whose callbacks fill a queue. */
struct peer {
    MQTTClient c;
    int version, present, ended, reason;
    pthread_mutex_t lock;
    pthread_cond_t more;
    MQTTClient_message *messages[ROOM];
    int first, count;
};

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
    struct peer *p = context;
    (void)length;
    MQTTClient_free(topic);
    pthread_mutex_lock(&p->lock);
    CHECK(p->count < ROOM);
    p->messages[(p->first + p->count++) % ROOM] = message;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
    return 1;
}

static void end(struct peer *p, int reason) {
    pthread_mutex_lock(&p->lock);
    p->ended = 1;
    if (reason)
        p->reason = reason;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

static void lost(void *context, char *cause) {
    (void)cause;
    end(context, 0);
}

static void disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason) {
    (void)properties;
    end(context, (int)reason);
}

static struct timespec deadline(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += PATIENCE_S;
    return at;
}

static struct peer *new_peer(const char *id, int version, int clean, const char *will) {
    struct peer *p = calloc(1, sizeof *p);
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    MQTTClient_connectOptions three = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions options = version == 5 ? five : three;
    MQTTClient_willOptions testament = MQTTClient_willOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    p->version = version;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    create.MQTTVersion = version;
    CHECK(MQTTClient_createWithOptions(&p->c, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create)
          == MQTTCLIENT_SUCCESS);
    CHECK(MQTTClient_setCallbacks(p->c, p, lost, arrived, NULL) == MQTTCLIENT_SUCCESS);
    options.MQTTVersion = version;
    options.reliable = 0;
    options.maxInflightMessages = 200;
    options.connectTimeout = PATIENCE_S;
    if (will) {
        testament.topicName = will;
        testament.message = "gone";
        testament.qos = 1;
        options.will = &testament;
    }
    if (version == 5) {
        MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
        MQTTResponse response;
        CHECK(MQTTClient_setDisconnected(p->c, p, disconnected) == MQTTCLIENT_SUCCESS);
        options.cleanstart = clean;
        expiry.value.integer4 = clean ? 0 : 3600;
        MQTTProperties_add(&properties, &expiry);
        response = MQTTClient_connect5(p->c, &options, &properties, NULL);
        CHECK(response.reasonCode == MQTTREASONCODE_SUCCESS);
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    } else {
        options.cleansession = clean;
        CHECK(MQTTClient_connect(p->c, &options) == MQTTCLIENT_SUCCESS);
    }
    p->present = options.returned.sessionPresent;
    return p;
}

static void subscribe(struct peer *p, const char *filter, int qos, int id) {
    if (p->version == 5) {
        MQTTProperties properties = MQTTProperties_initializer;
        MQTTProperty number = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
        MQTTResponse response;
        number.value.integer4 = (unsigned)id;
        if (id)
            MQTTProperties_add(&properties, &number);
        response = MQTTClient_subscribe5(p->c, filter, qos, NULL, &properties);
        CHECK((int)response.reasonCode == qos);
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    } else {
        CHECK(MQTTClient_subscribe(p->c, filter, qos) == MQTTCLIENT_SUCCESS);
    }
}

/* Hands a message to the library; returns what to wait for. */
static int start(struct peer *p, const char *topic, MQTTClient_message *message) {
    int token = 0;
    if (p->version == 5) {
        MQTTResponse response = MQTTClient_publishMessage5(p->c, topic, message, &token);
        CHECK(response.reasonCode == MQTTREASONCODE_SUCCESS);
        MQTTResponse_free(response);
    } else {
        CHECK(MQTTClient_publishMessage(p->c, topic, message, &token) == MQTTCLIENT_SUCCESS);
    }
    return token;
}

static int start_bytes(
    struct peer *p, const char *topic, void *bytes, int length, int qos, int retain) {
    MQTTClient_message message = MQTTClient_message_initializer;
    message.payload = bytes;
    message.payloadlen = length;
    message.qos = qos;
    message.retained = retain;
    return start(p, topic, &message);
}

static void finish(struct peer *p, int token, int qos) {
    if (qos)
        CHECK(MQTTClient_waitForCompletion(p->c, token, PATIENCE_S * 1000) == MQTTCLIENT_SUCCESS);
}

static void publish(struct peer *p, const char *topic, const char *text, int qos, int retain) {
    finish(p, start_bytes(p, topic, (void *)text, (int)strlen(text), qos, retain), qos);
}

static MQTTClient_message *next(struct peer *p) {
    struct timespec at = deadline();
    MQTTClient_message *message;
    pthread_mutex_lock(&p->lock);
    while (p->count == 0)
        CHECK(pthread_cond_timedwait(&p->more, &p->lock, &at) == 0);
    message = p->messages[p->first];
    p->first = (p->first + 1) % ROOM;
    p->count--;
    pthread_mutex_unlock(&p->lock);
    return message;
}

/* The next message has to be this one. */
static void expect(struct peer *p, const char *text, int qos, int retained) {
    MQTTClient_message *m = next(p);
    CHECK(m->payloadlen == (int)strlen(text) && memcmp(m->payload, text, strlen(text)) == 0);
    CHECK(qos < 0 || m->qos == qos);
    CHECK(m->retained == retained);
    MQTTClient_freeMessage(&m);
}

static void leave(struct peer *p) {
    MQTTClient_disconnect(p->c, 1000);
    MQTTClient_destroy(&p->c);
    CHECK(p->count == 0);
    free(p);
}

static void round_trip(int version, const char *name) {
    struct peer *reader = new_peer("trip-r", version, 1, NULL);
    struct peer *writer = new_peer("trip-w", version, 1, NULL);
    subscribe(reader, name, 2, 0);
    for (int qos = 0; qos < 3; qos++) {
        publish(writer, name, "hello", qos, 0);
        expect(reader, "hello", qos, 0);
    }
    leave(reader), leave(writer);
}

static void offline(int version, const char *name) {
    char text[16];
    struct peer *reader = new_peer("offline-r", version, 0, NULL);
    struct peer *writer = new_peer("offline-w", version, 1, NULL);
    int tokens[300];
    CHECK(!reader->present);
    subscribe(reader, name, 1, 0);
    leave(reader);
    for (int n = 0; n < 300; n++) {
        snprintf(text, sizeof text, "%d", n);
        tokens[n] = start_bytes(writer, name, text, (int)strlen(text), 1 + n % 2, 0);
    }
    for (int n = 0; n < 300; n++)
        finish(writer, tokens[n], 1);
    reader = new_peer("offline-r", version, 0, NULL);
    CHECK(version == 5 || reader->present); /* the library does not tell it in 5.0 */
    for (int n = 0; n < 300; n++) {
        snprintf(text, sizeof text, "%d", n);
        expect(reader, text, 1, 0);
    }
    leave(reader), leave(writer);
    leave(new_peer("offline-r", version, 1, NULL));
}

static void retained(int version, const char *name) {
    struct peer *writer = new_peer("kept-w", version, 1, NULL);
    struct peer *reader = new_peer("kept-r", version, 1, NULL);
    publish(writer, name, "kept", 1, 1);
    subscribe(reader, name, 1, 0);
    expect(reader, "kept", 1, 1);
    publish(writer, name, "", 1, 1);
    expect(reader, "", 1, 0);
    leave(reader);
    reader = new_peer("kept-r", version, 1, NULL);
    subscribe(reader, name, 1, 0);
    publish(writer, name, "end", 1, 0);
    expect(reader, "end", 1, 0);
    leave(reader), leave(writer);
}

/* A process that connects with a Will, and dies. */
static void doomed(const char *program, int version, const char *name) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        execl(program, program, uri, version == 5 ? "5" : "4", name, (char *)NULL);
        _exit(1);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void will(const char *program, int version, const char *name) {
    struct peer *watcher = new_peer("will-r", version, 1, NULL);
    subscribe(watcher, name, 1, 0);
    doomed(program, version, name);
    expect(watcher, "gone", 1, 0);
    leave(new_peer("doomed", version, 1, name));
    publish(watcher, name, "end", 1, 0);
    expect(watcher, "end", 1, 0);
    leave(watcher);
}

static void takeover(int version, const char *name) {
    struct timespec at = deadline();
    struct peer *first = new_peer("taken", version, 1, NULL);
    struct peer *second = new_peer("taken", version, 1, NULL);
    pthread_mutex_lock(&first->lock);
    while (!first->ended)
        CHECK(pthread_cond_timedwait(&first->more, &first->lock, &at) == 0);
    CHECK(version != 5 || first->reason == MQTTREASONCODE_SESSION_TAKEN_OVER);
    pthread_mutex_unlock(&first->lock);
    subscribe(second, name, 1, 0);
    publish(second, name, "mine", 1, 0);
    expect(second, "mine", 1, 0);
    leave(second), leave(first);
}

static void large(int version, const char *name) {
    const int length = 16 << 20;
    unsigned char *bytes = malloc((size_t)length);
    struct peer *peer = new_peer("large", version, 1, NULL);
    for (int n = 0; n < length; n++)
        bytes[n] = (unsigned char)(n * 31 + (n >> 8));
    subscribe(peer, name, 2, 0);
    for (int qos = 0; qos < 3; qos++) {
        MQTTClient_message *m;
        finish(peer, start_bytes(peer, name, bytes, length, qos, 0), qos);
        m = next(peer);
        CHECK(m->payloadlen == length && memcmp(m->payload, bytes, (size_t)length) == 0);
        MQTTClient_freeMessage(&m);
    }
    leave(peer);
    free(bytes);
}

static void many(int version, const char *name) {
    char text[16];
    struct peer *reader = new_peer("many-r", version, 1, NULL);
    struct peer *writer = new_peer("many-w", version, 1, NULL);
    subscribe(reader, name, 2, 0);
    for (int qos = 0; qos < 3; qos++) {
        int token = 0;
        for (int n = 0; n < 10000; n++) {
            snprintf(text, sizeof text, "%d", n);
            token = start_bytes(writer, name, text, (int)strlen(text), qos, 0);
        }
        finish(writer, token, qos);
        for (int n = 0; n < 10000; n++) {
            snprintf(text, sizeof text, "%d", n);
            expect(reader, text, qos, 0);
        }
    }
    leave(reader), leave(writer);
}

static void add_text(MQTTProperties *to, enum MQTTPropertyCodes code, char *name, char *value) {
    MQTTProperty p = {.identifier = code};
    p.value.data.data = name;
    p.value.data.len = (int)strlen(name);
    if (value) {
        p.value.value.data = value;
        p.value.value.len = (int)strlen(value);
    }
    CHECK(MQTTProperties_add(to, &p) == 0);
}

static void expect_text(
    MQTTProperties *of, enum MQTTPropertyCodes code, int at, const char *name, const char *value) {
    MQTTProperty *p = MQTTProperties_getPropertyAt(of, code, at);
    CHECK(p && p->value.data.len == (int)strlen(name));
    CHECK(memcmp(p->value.data.data, name, strlen(name)) == 0);
    if (value) {
        CHECK(p->value.value.len == (int)strlen(value));
        CHECK(memcmp(p->value.value.data, value, strlen(value)) == 0);
    }
}

static void properties(const char *name) {
    MQTTClient_message sent = MQTTClient_message_initializer, *got;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL};
    MQTTProperty format = {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR};
    const enum MQTTPropertyCodes user = MQTTPROPERTY_CODE_USER_PROPERTY;
    const enum MQTTPropertyCodes sub = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER;
    struct peer *peer = new_peer("properties", 5, 1, NULL);
    int left, one, other;
    subscribe(peer, "properties/#", 1, 7);
    subscribe(peer, name, 1, 268435455);
    expiry.value.integer4 = 100;
    format.value.byte = 1;
    add_text(&sent.properties, user, "b", "1");
    add_text(&sent.properties, user, "a", "2");
    add_text(&sent.properties, user, "b", "3");
    add_text(&sent.properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", NULL);
    add_text(&sent.properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, "answer/here", NULL);
    add_text(&sent.properties, MQTTPROPERTY_CODE_CORRELATION_DATA, "\001\377", NULL);
    CHECK(MQTTProperties_add(&sent.properties, &expiry) == 0);
    CHECK(MQTTProperties_add(&sent.properties, &format) == 0);
    sent.payload = "text";
    sent.payloadlen = 4;
    sent.qos = 1;
    finish(peer, start(peer, name, &sent), 1);
    got = next(peer);
    expect_text(&got->properties, user, 0, "b", "1");
    expect_text(&got->properties, user, 1, "a", "2");
    expect_text(&got->properties, user, 2, "b", "3");
    expect_text(&got->properties, MQTTPROPERTY_CODE_CONTENT_TYPE, 0, "text/plain", NULL);
    expect_text(&got->properties, MQTTPROPERTY_CODE_RESPONSE_TOPIC, 0, "answer/here", NULL);
    expect_text(&got->properties, MQTTPROPERTY_CODE_CORRELATION_DATA, 0, "\001\377", NULL);
    left = MQTTProperties_getNumericValue(
        &got->properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL);
    CHECK(left >= 95 && left <= 100);
    one = MQTTProperties_getNumericValueAt(&got->properties, sub, 0);
    other = MQTTProperties_getNumericValueAt(&got->properties, sub, 1);
    CHECK((one == 7 && other == 268435455) || (one == 268435455 && other == 7));
    MQTTClient_freeMessage(&got);
    MQTTProperties_free(&sent.properties);
    leave(peer);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*check)(int version, const char *name);
    } checks[] = {
        {"round_trip", round_trip}, {"offline", offline}, {"retained", retained},
        {"takeover", takeover},     {"large", large},     {"many", many},
    };
    char name[64];
    if (argc == 4) {
        snprintf(uri, sizeof uri, "%s", argv[1]);
        new_peer("doomed", atoi(argv[2]), 1, argv[3]);
        raise(SIGKILL);
    }
    CHECK(argc == 2);
    snprintf(uri, sizeof uri, "%s", argv[1]);
    for (int version = 4; version <= 5; version++) {
        for (size_t n = 0; n < sizeof checks / sizeof *checks; n++) {
            snprintf(doing, sizeof doing, "%s, version %d", checks[n].name, version);
            snprintf(name, sizeof name, "%s/%d", checks[n].name, version);
            checks[n].check(version, name);
        }
        snprintf(doing, sizeof doing, "will, version %d", version);
        snprintf(name, sizeof name, "will/%d", version);
        will(argv[0], version, name);
    }
    snprintf(doing, sizeof doing, "properties");
    properties("properties/t");
    puts("passed");
    return 0;
}
