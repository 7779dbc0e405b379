# frozen_string_literal: true

# What a handler is given as `context:`.
class LambdaContext
  TRACE_FIELDS = %w[traceparent tracestate baggage].freeze

  attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name,
              :memory_limit_in_mb, :function_version, :identity, :client_context, :deadline_ms, :tenant_id

  # headers: by names in lower case.
  def initialize(headers)
    @deadline_ms = headers['lambda-runtime-deadline-ms'].to_i
    # By the clock that nobody sets.
    @clock_ahead_ms = clock_ms(Process::CLOCK_REALTIME) - clock_ms(Process::CLOCK_MONOTONIC)
    @aws_request_id = headers['lambda-runtime-aws-request-id']
    @invoked_function_arn = headers['lambda-runtime-invoked-function-arn']
    @tenant_id = headers['lambda-runtime-aws-tenant-id']
    @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
    @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
    @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
    @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
    @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
    @identity = parse(headers['lambda-runtime-cognito-identity'])
    @client_context = parse(headers['lambda-runtime-client-context'])
    @trace = take_trace
  end

  def get_remaining_time_in_millis
    [@deadline_ms - (clock_ms(Process::CLOCK_MONOTONIC) + @clock_ahead_ms), 0].max
  end

  # The W3C trace context that the caller sent.
  def w3c
    @trace.dup
  end

  private

  def clock_ms(clock)
    Process.clock_gettime(clock, :millisecond)
  end

  def parse(document)
    JSON.parse(document) unless document.to_s.empty?
  end

  def take_trace
    sent = @client_context.delete('w3c') if @client_context.is_a?(Hash)
    return {} unless sent.is_a?(Hash)

    sent.select { |name, value| TRACE_FIELDS.include?(name) && value.is_a?(String) }
  end
end
