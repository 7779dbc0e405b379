# frozen_string_literal: true

# The function's file and method; `call_handler` calls it, as in AWS's client, whose name NoMethodError tells.
class LambdaHandler
  FORMS = 'must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD where FILENAME corresponds with an existing Ruby ' \
          'source file FILENAME.rb, CLASS is an optional module/class namespace and METHOD is a callable method. ' \
          'If using CLASS, METHOD must be a class-level method.'

  attr_reader :handler_file_name, :handler_method_name

  def initialize(env_handler:)
    parts = env_handler.split('.')
    raise ArgumentError, "Invalid handler #{parts}, #{FORMS}" unless [2, 3].include?(parts.size)

    @handler_file_name = parts.first
    @handler_class = parts[1] if parts.size == 3
    @handler_method_name = parts.last
  end

  # The answer, and its content type unless that is JSON.
  def call_handler(request:, context:)
    receiver = @handler_class ? Kernel.const_get(@handler_class) : self
    AwsLambda::Marshaller.marshall_response(receiver.__send__(@handler_method_name, event: request, context: context))
  end
end

module AwsLambda
  # How events are read and answers written. Functions may define these two anew.
  class Marshaller
    class << self
      def marshall_request(raw_request)
        type = raw_request['Content-Type']
        type.nil? || type == 'application/json' ? JSON.parse(raw_request.body) : raw_request.body
      end

      def marshall_response(method_response)
        case method_response
        when StringIO, IO then [method_response, 'application/unknown']
        else method_response.to_json
        end
      end
    end
  end
end
