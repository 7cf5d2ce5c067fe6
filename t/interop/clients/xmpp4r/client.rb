# xmpp4r: one message out, one in.

require 'xmpp4r'
require 'timeout'

$stdout.set_encoding('UTF-8')
$stdout.sync = true

# Its own check is of the authority only, and with direct TLS of nothing.
class Jabber::Connection::SSLSocketUTF8
  def initialize(socket, context = OpenSSL::SSL::SSLContext.new)
    context.verify_mode = OpenSSL::SSL::VERIFY_PEER
    context.ca_file = ENV['XMPP_CA']
    super(socket, context)
  end

  def connect
    super
    post_connection_check(ENV['XMPP_DOMAIN'])
  end

  # What it does for this in sysread has no effect in Ruby 3.
  def readline(*arguments)
    super.force_encoding(Encoding::UTF_8)
  end
end

# Since REXML 3.3 the parser goes back to the position that a source tells, and
# xmpp4r tells it 0; and text is decoded, which xmpp4r takes for raw.
if Gem::Version.new(REXML::VERSION) >= Gem::Version.new('3.3')
  REXML::IOSource.remove_method :position

  REXML::Parsers::SAX2Parser.prepend(Module.new do
    def listen(event, &block)
      return super unless event == :characters

      super(event) { |text| block.call(REXML::Text.normalize(text)) }
    end
  end)
end

# Jabber::SASL tells nobody which mechanism it is.
module Mechanism
  def new(stream, mechanism)
    $mechanism = mechanism
    super
  end
end

class << Jabber::SASL
  prepend Mechanism
end

Thread.abort_on_exception = true

user, domain, peer, host, password, text =
  %w[USER DOMAIN PEER HOST PASSWORD SEND].map do |name|
    ENV["XMPP_#{name}"].dup.force_encoding('UTF-8')
  end

direct = ENV['XMPP_TLS'] == 'direct'
answer = Queue.new

Timeout.timeout(40) do
  client = Jabber::Client.new(Jabber::JID.new(user, domain, 'xmpp4r'))
  client.use_ssl = direct
  client.allow_tls = !direct
  client.connect(host, ENV['XMPP_PORT'].to_i)
  raise 'no TLS' unless direct || client.is_tls?

  client.auth(password)
  puts "connected #{$mechanism}"

  client.add_message_callback do |message|
    answer << message.body if message.body && message.from.bare.to_s == peer
  end

  client.send(Jabber::Presence.new)

  message = Jabber::Message.new(peer, text)
  message.type = :chat
  client.send(message)

  puts "received #{answer.pop}"
  client.close
end
