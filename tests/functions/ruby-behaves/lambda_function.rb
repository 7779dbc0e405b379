# Handlers that do what their names say.

require 'json'
require 'logger'
require 'stringio'
require 'rexml/document' # comes with Ruby, as a gem

def lambda_handler(event:, context:)
  { 'hello' => event, 'ruby' => RUBY_VERSION }
end

def echoes(event:, context:)
  event
end

def raises(event:, context:)
  puts 'own line'
  deeper(event)
end

def deeper(event)
  raise ArgumentError, event['say']
end

def misspells(event:, context:)
  nothing_of_this_name
end

class Custom < StandardError; end

def raises_its_own(event:, context:)
  raise Custom, 'mine'
end

def ends(event:, context:)
  puts 'own line'
  case event && event['way']
  when 'exit' then exit 3
  when 'exit!' then exit! 3
  when 'SIGKILL' then Process.kill(:KILL, Process.pid)
  when 'abort' then Process.kill(:ABRT, Process.pid)
  when 'sleeps' then sleep
  when 'memory' then (held = []) && loop { held << 'x' * 4_194_304 }
  when 'deep' then ends_deep
  else Process.pid
  end
end

def ends_deep
  ends_deep + 1
end

def speaks(event:, context:)
  puts "puts #{event}"
  $stderr.puts 'to stderr'
  Logger.new($stdout).info("logged ü #{event}")
  Logger.new($stderr, level: :error).info('not at that level')
  system('echo', 'from a child')
end

def logs_an_exception(event:, context:)
  raise Custom, 'seen'
rescue Custom => e
  Logger.new($stdout, progname: 'mine').error(e)
  Logger.new($stdout).debug('quiet')
end

def tells_context(event:, context:)
  names = %i[aws_request_id invoked_function_arn log_group_name log_stream_name function_name memory_limit_in_mb
             function_version identity client_context tenant_id w3c]
  names.to_h { |name| [name, context.public_send(name)] }
       .merge(remaining: context.get_remaining_time_in_millis, deadline: context.deadline_ms)
end

def tells_variables(event:, context:)
  { variables: ENV.to_h, folder: Dir.pwd, load_path: $LOAD_PATH.first(3), encoding: Encoding.default_external.name }
end

def answers_an_object(event:, context:)
  [Object, Time.at(0).utc, :symbol, nil, 1.5, { 1 => 2 }]
end

def answers_nan(event:, context:)
  Float::NAN
end

def answers_io(event:, context:)
  StringIO.new('not JSON: é')
end

def answers_bytes(event:, context:)
  'x' * (event - 2)
end

def requires(event:, context:)
  require event
  $LOADED_FEATURES.grep(/#{event}\.rb\z/)
end

module Deep
  class Inner
    def self.handler(event:, context:)
      { 'from' => name, 'event' => event }
    end
  end
end
