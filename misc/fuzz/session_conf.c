/*
 * The servers, and a cycle made of them.  Nothing listens.
 */


#include "session.h"


#define FUZZ_PORT  6000


const fuzz_server_t  fuzz_servers[] = {

    { "a, all mechanisms", "xmpp_auth plain login cram-md5 external;",
      .tls = 0 },

    { "b, STARTTLS", "starttls on; xmpp_auth plain login;", .starttls = 1 },

    { "c, STARTTLS only",
      "starttls only; xmpp_auth plain cram-md5 external;"
      "ssl_verify_client optional_no_ca; auth_http_pass_client_cert on;",
      .starttls = 2 },

    { "d, TLS",
      "xmpp_auth external plain; ssl_verify_client optional_no_ca;",
      .tls = 1 },

    { "e, passed on", "xmpp_auth none;", .none = 1 },

    { "f, passed on, STARTTLS", "xmpp_auth none; starttls on;",
      .none = 1, .starttls = 1 },

    { "g, passed on, STARTTLS only", "xmpp_auth none; starttls only;",
      .none = 1, .starttls = 2 },

    { "h, servers", "xmpp_stream server;", .s2s = 1 },

    { "i, servers, STARTTLS", "xmpp_stream server; starttls on;"
      "ssl_verify_client optional_no_ca;", .s2s = 1, .starttls = 1 },

    { "j, servers, STARTTLS only", "xmpp_stream server; starttls only;"
      "xmpp_domain example.test;", .s2s = 1, .starttls = 2 },

    { "k, both", "xmpp_stream any; starttls on; xmpp_auth plain;",
      .s2s = 1, .starttls = 1 },

    { "l, both, passed on, TLS", "xmpp_stream any; xmpp_auth none;"
      "ssl_verify_client optional;", .s2s = 1, .none = 1, .tls = 1 },

    { "m, small buffers", "xmpp_client_buffer 320; proxy_buffer 320;"
      "xmpp_auth plain login cram-md5;", .tls = 0 },

    { "n, domains", "xmpp_domain example.test example.org. XN--4CA.test;"
      "max_errors 2; proxy_pass_error_message on; auth_http_header X-Key 1;",
      .tls = 0 },

    { "o, PROXY to the upstream", "proxy_protocol on; proxy_timeout 1h;",
      .proxy = 1 },

    { "p, PROXY of the client", "starttls on; set_real_ip_from 127.0.0.0/8;"
      "proxy_protocol on;", .starttls = 1, .proxy = 1, .from_proxy = 1 },

    { "q, passed on, PROXY", "xmpp_auth none; starttls on;"
      "proxy_protocol on;", .none = 1, .starttls = 1, .proxy = 1 },

    { "r, passed on, small buffers", "xmpp_auth none; starttls on;"
      "xmpp_client_buffer 320; proxy_buffer 256; xmpp_stream any;",
      .none = 1, .s2s = 1, .starttls = 1 },

    { "s, TLS, with a certificate", "ssl_verify_client on; xmpp_stream any;",
      .s2s = 1, .tls = 1 }
};

ngx_uint_t  fuzz_servers_n = sizeof(fuzz_servers) / sizeof(fuzz_servers[0]);


static void fuzz_write_conf(char *folder);
static void fuzz_start_events(ngx_cycle_t *cycle);


static struct sockaddr_in  fuzz_client_addr, fuzz_local_addr;


/* as nginx's main() does it, without a process around it */

void
fuzz_init(void)
{
    char           folder[] = "/tmp/nginx-xmpp-fuzz-XXXXXX";
    char           conf[64], pem[64];
    ngx_log_t     *log;
    ngx_cycle_t   *cycle;

    static ngx_cycle_t  init;

    if (mkdtemp(folder) == NULL) {
        fuzz_fail("mkdtemp() failed");
    }

    fuzz_write_conf(folder);

    ngx_debug_init();
    ngx_strerror_init();
    ngx_max_sockets = -1;
    ngx_time_init();
    ngx_pid = 1;

    log = ngx_log_init((u_char *) "", (u_char *) "");
    if (log == NULL) {
        fuzz_fail("ngx_log_init() failed");
    }

    ngx_ssl_init(log);

    init.log = log;
    ngx_cycle = &init;

    init.pool = ngx_create_pool(1024, log);

    snprintf(conf, sizeof(conf), "%s/conf", folder);
    snprintf(pem, sizeof(pem), "%s/pem", folder);

    init.conf_file.data = (u_char *) conf;
    init.conf_file.len = strlen(conf);
    init.conf_prefix.data = (u_char *) folder;
    init.conf_prefix.len = strlen(folder);
    init.prefix = init.conf_prefix;
    ngx_str_set(&init.error_log, "stderr");

    if (ngx_os_init(log) != NGX_OK || ngx_crc32_table_init() != NGX_OK) {
        fuzz_fail("ngx_os_init() failed");
    }

    ngx_slab_sizes_init();

    if (ngx_preinit_modules() != NGX_OK) {
        fuzz_fail("ngx_preinit_modules() failed");
    }

    cycle = ngx_init_cycle(&init);
    if (cycle == NULL) {
        fuzz_fail("ngx_init_cycle() failed");
    }

    unlink(conf);
    unlink(pem);
    rmdir(folder);

    ngx_cycle = cycle;
    ngx_use_stderr = 0;

    fuzz_start_events(cycle);

    cycle->new_log.writer = fuzz_log_writer;
    cycle->new_log.log_level = NGX_LOG_DEBUG;

    fuzz_client_addr.sin_family = AF_INET;
    fuzz_client_addr.sin_port = htons(40000);
    fuzz_client_addr.sin_addr.s_addr = htonl(0x7f000002);

    fuzz_local_addr = fuzz_client_addr;
    fuzz_local_addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}


static void
fuzz_write_conf(char *folder)
{
    char         name[64];
    FILE        *f;
    ngx_uint_t   i;

    snprintf(name, sizeof(name), "%s/pem", folder);
    fuzz_tls_init(name);

    snprintf(name, sizeof(name), "%s/conf", folder);

    f = fopen(name, "w");
    if (f == NULL) {
        fuzz_fail("fopen() failed");
    }

    fprintf(f, "error_log stderr;\n"
               "pid %s/pid;\n"
               "lock_file %s/lock;\n"
               "events { worker_connections 64; use epoll; }\n"
               "mail {\n"
               "    server_name mail.example.test;\n"
               "    auth_http 127.0.0.1:9/auth;\n"
               "    auth_http_timeout 10s;\n"
               "    timeout 60s;\n"
               "    ssl_certificate %s/pem;\n"
               "    ssl_certificate_key %s/pem;\n"
               "    ssl_client_certificate %s/pem;\n",
            folder, folder, folder, folder, folder);

    for (i = 0; i < fuzz_servers_n; i++) {
        fprintf(f, "    server { listen 127.0.0.1:%d%s%s; protocol xmpp; "
                   "%s }\n",
                FUZZ_PORT + (int) i,
                fuzz_servers[i].tls ? " ssl" : "",
                fuzz_servers[i].from_proxy ? " proxy_protocol" : "",
                fuzz_servers[i].conf);
    }

    fprintf(f, "}\n");
    fclose(f);
}


/* a worker's start, but there are no sockets that epoll could watch */

static void
fuzz_start_events(ngx_cycle_t *cycle)
{
    ngx_uint_t  n;

    n = cycle->listening.nelts;
    cycle->listening.nelts = 0;

    if (ngx_event_core_module.init_process(cycle) != NGX_OK) {
        fuzz_fail("ngx_event_core_module.init_process() failed");
    }

    cycle->listening.nelts = n;

    ngx_event_actions = fuzz_actions;
}


/* as ngx_event_accept() does it */

ngx_connection_t *
fuzz_accept(ngx_uint_t server)
{
    ngx_log_t         *log;
    ngx_uint_t         memory;
    ngx_listening_t   *ls;
    ngx_connection_t  *c;

    /* nginx's own code checks what it allocates before a session starts */

    memory = run.lack.memory;
    run.lack.memory = 0;

    ls = ngx_cycle->listening.elts;
    ls += server;

    c = fuzz_peer_open(fuzz_client, ngx_cycle->log);

    c->pool = ngx_create_pool(ls->pool_size, &ls->log);

    c->sockaddr = ngx_palloc(c->pool, sizeof(fuzz_client_addr));
    ngx_memcpy(c->sockaddr, &fuzz_client_addr, sizeof(fuzz_client_addr));
    c->socklen = sizeof(fuzz_client_addr);

    c->local_sockaddr = (struct sockaddr *) &fuzz_local_addr;
    c->local_socklen = sizeof(fuzz_local_addr);

    log = ngx_palloc(c->pool, sizeof(ngx_log_t));
    *log = ls->log;
    log->data = NULL;
    log->handler = NULL;

    c->log = log;
    c->pool->log = log;
    c->listening = ls;
    c->read->log = log;
    c->write->log = log;
    c->write->ready = 1;
    c->start_time = ngx_current_msec;

    c->addr_text.data = ngx_pnalloc(c->pool, ls->addr_text_max_len);
    c->addr_text.len = ngx_sock_ntop(c->sockaddr, c->socklen,
                                     c->addr_text.data,
                                     ls->addr_text_max_len, 0);

    run.lack.memory = memory;

    ls->handler(c);

    return peers[fuzz_client].c;
}
