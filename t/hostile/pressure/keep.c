
/*
 * keep COMMAND...
 *
 * Runs a daemon and waits for it and for all that it leaves behind: they
 * become children of this process, not of the system's first one.  HUP, QUIT
 * and TERM go to all of them; who does not obey TERM within 3 seconds is
 * killed.  The exit status is 0 if each one has ended with 0.
 */


#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>


static volatile sig_atomic_t  asked;


static void
handler(int signo)
{
    asked = signo;
}


static void
pass_on(int signo)
{
    int    pid;
    char   name[64];
    FILE  *file;

    snprintf(name, sizeof(name), "/proc/self/task/%d/children",
             (int) getpid());

    file = fopen(name, "r");

    if (file == NULL) {
        perror(name);
        exit(1);
    }

    while (fscanf(file, "%d", &pid) == 1) {
        kill(pid, signo);
    }

    fclose(file);
}


int
main(int argc, char **argv)
{
    int               status, failed, signo, ticks;
    pid_t             pid;
    struct sigaction  sa;
    struct timespec   tick = { 0, 20 * 1000 * 1000 };

    if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1) == -1) {
        perror("keep");
        return 1;
    }

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = handler;
    sigaction(SIGHUP, &sa, NULL);
    sigaction(SIGQUIT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);

    pid = fork();

    if (pid == -1) {
        perror("fork()");
        return 1;
    }

    if (pid == 0) {
        execv(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }

    failed = 0;
    ticks = 0;
    signo = 0;

    for ( ;; ) {

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (status) {
                failed = 1;
            }

            printf("ended %d %d\n", (int) pid, status);
            fflush(stdout);
        }

        if (pid == -1 && errno == ECHILD) {
            return failed;
        }

        if (asked) {
            signo = asked;
            asked = 0;
            pass_on(signo);

        } else if (signo == SIGTERM) {

            /* orphans may have come in the meantime */
            pass_on(++ticks < 150 ? SIGTERM : SIGKILL);
        }

        nanosleep(&tick, NULL);
    }
}
