;; jabber.el: one message out, one in.

(require 'package)
(package-initialize)
(require 'jabber)
(require 'gnutls)
(require 'tls nil t)

(defun e (name) (decode-coding-string (getenv (concat "XMPP_" name)) 'utf-8))

;; Standard output is shared with what Emacs says, and knows no UTF-8.
(defun out (&rest words)
  (let ((coding-system-for-write 'utf-8))
    (write-region (concat (string-join words " ") "\n") nil
                  (concat (e "WORK") "/said") t 'silent)))

(defvar mechanism "")
(defvar answered nil)
(defvar ended nil)
(defvar direct (equal (e "TLS") "direct"))

(setq gnutls-trustfiles (list (e "CA"))
      gnutls-verify-error t
      jabber-auto-reconnect nil
      jabber-backlog-number 0
      jabber-message-alert-same-buffer nil
      jabber-alert-message-hooks nil
      jabber-alert-presence-hooks nil)

;; With direct TLS it talks through this program, which does not go on with a
;; wrong certificate.
(setq tls-program
      (list (format "gnutls-cli --x509cafile=%s --verify-hostname=%s -p %%p %%h"
                    (shell-quote-argument (e "CA"))
                    (shell-quote-argument (e "DOMAIN")))))

(advice-add 'jabber-send-sexp :before
            (lambda (_ sexp)
              (when (eq (car-safe sexp) 'auth)
                (setq mechanism (cdr (assq 'mechanism (cadr sexp)))))))

(add-hook 'jabber-post-connect-hooks
          (lambda (jc)
            (out "connected" mechanism)
            (jabber-send-message jc (e "PEER") nil (e "SEND") "chat"))
          t)

(add-to-list 'jabber-message-chain
             (lambda (_ stanza)
               (let ((from (jabber-xml-get-attribute stanza 'from))
                     (body (car (jabber-xml-get-children stanza 'body))))
                 (when (and body
                            (equal (jabber-jid-user from) (e "PEER")))
                   (out "received" (car (jabber-xml-node-children body)))
                   (setq answered t)))))

(add-hook 'jabber-lost-connection-hooks (lambda (_) (setq ended t)))

(jabber-connect (e "USER") (e "DOMAIN") "emacs" nil (e "PASSWORD") (e "HOST")
                (string-to-number (e "PORT")) (if direct 'ssl 'starttls))

(with-timeout (40)
  (while (not (or answered ended))
    (accept-process-output nil 0.1)))

(when answered
  (jabber-disconnect)
  (with-timeout (5)
    (while (cl-some (lambda (p) (eq (process-status p) 'open)) (process-list))
      (accept-process-output nil 0.1))))

(kill-emacs (if answered 0 1))
