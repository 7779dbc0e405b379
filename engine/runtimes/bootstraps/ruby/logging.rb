# frozen_string_literal: true

# What Ruby's Logger writes in Lambda: lines that name the invocation, or JSON where the function's log is that.
class LambdaLogFormatter < Logger::Formatter
  FORMAT = '%<sev>s, [%<datetime>s #%<process>d] %<severity>5s %<request_id>s -- %<progname>s: %<msg>s'

  def call(severity, time, progname, msg)
    line = format(FORMAT, sev: severity[0], datetime: format_datetime(time), process: $$, severity: severity,
                          request_id: $_global_aws_request_id, progname: progname, msg: msg2str(msg))
    "#{line.encode('UTF-8', invalid: :replace, undef: :replace).scrub}\n"
  end
end

class LambdaJsonLogFormatter < Logger::Formatter
  TIME = '%Y-%m-%dT%H:%M:%S.%6NZ'
  FRAME = /\A(?<file>.+):(?<line>\d+):in [`'](?<method>.+)'\z/.freeze

  def call(severity, time, progname, msg)
    fields = { timestamp: time.utc.strftime(TIME), level: severity,
               message: clean(msg.is_a?(Exception) ? msg.message : msg2str(msg)), requestId: $_global_aws_request_id }
    fields[:logger] = clean(progname) unless progname.to_s.empty?
    fields.update(of_exception(msg)) if msg.is_a?(Exception)
    "#{JSON.generate(fields.compact)}\n"
  end

  private

  def of_exception(error)
    trace = Array(error.backtrace).map { |line| clean(line) }
    frame = FRAME.match(trace.first.to_s)
    location = frame ? "#{frame[:file]}:#{frame[:method]}:#{frame[:line]}" : trace.first
    { errorType: error.class.to_s, errorMessage: clean(error.message), stackTrace: trace, location: location }
  end

  def clean(text)
    text.to_s.encode('UTF-8', invalid: :replace, undef: :replace).scrub
  end
end

module EngineRuntime
  # Loggers of the standard streams are Lambda's, others as ever.
  module LoggerPatch
    def initialize(logdev = nil, *rest, **settings)
      if logdev.nil? || logdev == $stdout || logdev == $stderr
        super(logdev || $stdout, *rest, **{ level: Logging.level }.merge(settings))
        @default_formatter = Logging.formatter
      else
        super
      end
    end
  end

  module Logging
    class << self
      # Once the function's variables are there.
      def install
        @json = ENV['AWS_LAMBDA_LOG_FORMAT'].to_s.casecmp?('JSON')
        Logger.prepend(LoggerPatch)
      end

      def formatter
        @json ? LambdaJsonLogFormatter.new : LambdaLogFormatter.new
      end

      def level
        wanted = ENV['AWS_LAMBDA_LOG_LEVEL'].to_s.downcase
        %w[debug info warn error fatal].include?(wanted) ? wanted : 'debug'
      end

      # What failed goes to the log before the caller is told.
      def failure(message, failure)
        $stdout.write(@json ? as_json(message, failure) : "#{message}\n#{JSON.pretty_generate(failure.told)}\n")
      rescue StandardError # the function put something else in its place, or closed it
        IO.for_fd(1, 'w', autoclose: false).write("#{message}\n#{failure.to_json}\n")
      end

      private

      def as_json(message, failure)
        fields = { timestamp: Time.now.utc.strftime(LambdaJsonLogFormatter::TIME), level: 'ERROR', message: message,
                   requestId: $_global_aws_request_id, **failure.told }
        "#{JSON.generate(fields.compact)}\n"
      end
    end
  end
end
