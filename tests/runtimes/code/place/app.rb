require 'net/http'

def registers(event, context)
  host, port = ENV['AWS_LAMBDA_RUNTIME_API'].split(':')
  headers = { 'Lambda-Extension-Name' => 'late' }
  reply = Net::HTTP.start(host, port.to_i) do |http|
    http.post('/2020-01-01/extension/register', '{"events": []}', headers)
  end
  reply.code.to_i
end

HELD = []

def hoards(event, _)
  loop { HELD << File.open('/dev/null') }
rescue Errno::EMFILE
  event['left'].times { HELD.pop.close }
  nil
end

DOES = {
  'echo' => ->(event, _) { event['value'] },
  'gives' => ->(event, _) { 'x' * event['bytes'] },
  'has' => ->(event, _) { File.read('/proc/self/maps').include?(event['name']) },
  'prints' => ->(event, _) { puts event['text'] },
  'fails' => ->(event, _) { raise TypeError, event['text'] },
  'hoards' => method(:hoards),
  'releases' => ->(_, _) { HELD.each(&:close) && nil },
  'exits' => ->(_, _) { exit!(3) },
  'crashes' => ->(_, _) { Process.kill('KILL', Process.pid) },
  'spins' => ->(_, _) { loop {} },
  'context' => lambda { |_, context|
    [context.aws_request_id, context.invoked_function_arn, context.get_remaining_time_in_millis,
     ENV['_X_AMZN_TRACE_ID'], context.client_context, context.instance_variable_get(:@tenant_id)]
  },
  'registers' => method(:registers)
}

def handler(event:, context:)
  DOES[event['does']].call(event, context)
end
